"""Everything we hand to TensorRT-LLM is in the recorded interface of every supported version."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from enginehouse.build.tensorrt_llm_commands import launch_command
from enginehouse.build.tensorrt_llm_formats import FORMATS
from enginehouse.engine.tensorrt_llm_arguments import (
    generate_arguments,
    llm_call,
    lora_call,
    sampling_call,
)
from enginehouse.engine.tensorrt_llm_calls import VendorCall
from enginehouse.engine.tensorrt_llm_settings import SERIES as SUPPORTED
from enginehouse.engine.tensorrt_llm_settings import TensorRtLlmSettings
from enginehouse.model_repository.tensorrtllm_backend_config import backend_parameters

from enginehouse.manifest import SpecialTokens
from tests.contract.emitted import every_build, every_request, every_setting
from tests.contract.facts import FACTS_DIR, SERIES, facts, fits

_TOKENS = SpecialTokens(bos_id=1, end_ids=(2,), pad_id=0, add_bos=False)
_PAIRS = [(flavour, series) for flavour, known in SUPPORTED.items() for series in known]
_ENGINE_SERIES = SUPPORTED["engine"]
_READS = {"outputs", "token_ids", "logprobs", "finish_reason"}


@pytest.mark.parametrize(("flavour", "series"), _PAIRS)
def test_the_llm_takes_every_argument_that_settings_can_ask_for(flavour: str, series: str) -> None:
    checked = 0
    for settings in every_setting(flavour, series):
        for weight_format in FORMATS:
            call = llm_call(settings, "/engine", weight_format)
            assert facts(series).check(call) == []
            checked += 1
    assert checked > 500


@pytest.mark.parametrize(("flavour", "series"), _PAIRS)
def test_a_request_uses_known_arguments_only(flavour: str, series: str) -> None:
    known = facts(series)
    for request in every_request():
        sampling = sampling_call(request, 0, _TOKENS, str)
        assert known.check(sampling) == []
        arguments = generate_arguments([1, 2], sampling, None)
        assert known.check_method("LLM.generate_async", arguments) == []
    lora = next(s.lora for s in every_setting(flavour, series) if s.lora is not None)
    adapter = lora_call(lora, "law")
    assert known.check(adapter) == []
    arguments = generate_arguments([1], sampling, adapter)
    assert known.check_method("LLM.generate_async", arguments) == []


@pytest.mark.parametrize("series", _ENGINE_SERIES)
def test_every_flag_of_a_build_is_one_of_the_vendor_s(series: str) -> None:
    programs = set()
    for settings in every_setting("engine", series):
        for _, _, commands in every_build(settings):
            for argv in commands:
                assert facts(series).check_argv(argv) == []
                programs.add(argv[0] if argv[0] != "python3" else argv[1])
    assert len(programs) == 4, programs


@pytest.mark.parametrize("series", SERIES)
def test_what_the_runtime_calls_and_reads_is_there(series: str) -> None:
    known = facts(series)
    assert known.check_method("LLM.get_stats", {"timeout": 0.01}) == []
    for name in ("LLM.shutdown", "RequestOutput.abort", "RequestOutput.__aiter__"):
        assert known.check_method(name, {}) == []
    names = {name for owner in known.data["attributes"].values() for name in owner["names"]}
    assert names >= _READS
    assert "usedNumBlocks" in known.data["statistics"]["kvCacheStats"]


@pytest.mark.parametrize("series", _ENGINE_SERIES)
def test_config_pbtxt_has_the_recorded_keys_and_values(series: str) -> None:
    config = facts(series).data["config_pbtxt"]
    assert len(config["parameters"]) == 46
    for settings in every_setting("engine", series):
        ours = backend_parameters(settings, "/engine")
        assert set(ours) == set(config["parameters"])
        assert ours["gpt_model_type"]
        assert "$" not in "".join(ours.values())
        for key, fixed in config["parameters"].items():
            assert fixed is None or ours[key] == fixed
        for key, allowed in config["values"].items():
            if ours.get(key):
                assert ours[key] in allowed
    assert set(config["required"]) <= set(ours)


def test_the_c_plus_plus_backend_is_gone_from_the_newest_series() -> None:
    assert facts("newest").data["config_pbtxt"]["removed"]
    with pytest.raises(ValueError, match=r"ended with 1\.2"):
        TensorRtLlmSettings(flavour="engine", version="newest")


@pytest.mark.parametrize("series", _ENGINE_SERIES)
def test_the_launch_uses_known_options_only(series: str) -> None:
    launch = facts(series).data["launch"]
    known = {*launch["mpirun"], *launch["mpirun_standard"], *launch["tritonserver"]}
    for settings in every_setting("engine", series):
        argv = launch_command(settings, "/repository", "m.tensorrt_llm", (1, 2, 3))
        options = {item.partition("=")[0] for item in argv if item.startswith("-")}
        assert options <= known


def test_a_renamed_argument_is_caught() -> None:
    """The check itself: what it is for must make it fail."""
    call = llm_call(TensorRtLlmSettings(), "/engine", "fp16")
    renamed = {**call.arguments, "tensor_parallel": call.arguments["tensor_parallel_size"]}
    assert facts("1.2").check(replace(call, arguments=renamed)) == [
        "1.2: LLM has no certain argument 'tensor_parallel'"
    ]
    inner = call.arguments["kv_cache_config"]
    wrong = replace(inner, arguments={"host_cache_size": "1G", "kv_dtype": "fp8"})
    found = facts("1.0").check(replace(call, arguments={"model": "/e", "kv_cache_config": wrong}))
    assert found == [
        "1.0: KvCacheConfig(host_cache_size='1G') is not Optional[int]",
        "1.0: KvCacheConfig has no certain argument 'kv_dtype'",
    ]


def test_what_a_version_lacks_or_may_lack_is_caught() -> None:
    known = facts("1.1")
    uncertain = VendorCall("tensorrt_llm.llmapi", "KvCacheConfig", {"tokens_per_block": 64})
    assert known.check(uncertain) != []
    assert known.check(VendorCall("tensorrt_llm.lora_manager", "LoraConfig", {})) != []
    assert known.check(VendorCall("tensorrt_llm", "LLM", {})) == ["1.1: LLM misses 'model'"]
    argv = ("trtllm-build", "--auto_parallel", "2", "--max_batch_size", "many")
    assert len(known.check_argv(argv)) == 2
    assert facts("newest").check_argv(argv) == ["newest: no command trtllm-build"]


def test_types_are_read_as_they_are_recorded() -> None:
    assert fits("Optional[Literal['xgrammar','llguidance']]", "xgrammar")
    assert not fits("Optional[Literal['xgrammar','llguidance']]", "outlines")
    assert fits("Union[str, List[str], None]", ["a"])
    assert not fits("int", True)
    assert not fits("Optional[List[List[int]]]", [[1], ["2"]])


@pytest.mark.parametrize("series", SERIES)
def test_facts_name_their_sources(series: str) -> None:
    data = facts(series).data
    for entry in (*data["classes"].values(), *data["methods"].values()):
        if entry.get("removed"):
            continue
        source = data["sources"][entry["source"]]
        assert {"repository", "path", "ref", "basis"} <= set(source)
    assert (FACTS_DIR / f"{series}.json").stat().st_size < 60_000


def test_no_other_file_names_arguments_of_the_vendor() -> None:
    """Calls are made from `tensorrt_llm_arguments` alone, or the contract would not see them."""
    root = Path(__file__).parent.parent.parent
    importing = re.compile(r"^\s*(from|import) tensorrt_llm\b", re.MULTILINE)
    for folder in ("build", "engine", "enginehouse", "model_repository"):
        for file in (root / folder).rglob("*.py"):
            assert not importing.search(file.read_text(encoding="utf-8")), file
