"""The builder around stand-ins of the vendor's tools: what it runs, collects and refuses."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from enginehouse.build.bundle_writer import build_bundle
from enginehouse.build.formats import WeightFormat
from enginehouse.build.plan import BuildPlan
from enginehouse.engine.tensorrt_llm_section import settings_in
from enginehouse.engine.tensorrt_llm_settings import TensorRtLlmSettings

from enginehouse.bundle import Bundle
from enginehouse.errors import BuildError, CheckpointError
from tests.contract.conftest import forget_stand_in
from tests.contract.facts import facts
from tests.contract.stand_in import write_gpus, write_stand_in
from tests.default_model import DefaultModel

_TOOL = Path(__file__).parent / "stand_in" / "tool.py"
_CONFIG = {"model_type": "llama", "vocab_size": 49_152, "max_position_embeddings": 4096,
           "eos_token_id": 2, "bos_token_id": 1, "hidden_size": 64, "num_hidden_layers": 2,
           "num_attention_heads": 4, "intermediate_size": 128}  # fmt: skip


class Workshop:
    """A host with stand-ins for everything of the vendor's, and a checkpoint."""

    def __init__(self, root: Path, tokenizer: str) -> None:
        self.root = root
        self.log = root / "tools.jsonl"
        self.checkpoint = root / "model"
        self.examples = root / "examples"
        write_hf(self.checkpoint, tokenizer)
        for script in ("models/core/llama/convert_checkpoint.py", "quantization/quantize.py"):
            (self.examples / script).parent.mkdir(parents=True)
            shutil.copy(_TOOL, self.examples / script)
        write_stand_in(root / "site", "1.2")
        write_gpus(root / "bin", 2)
        build = root / "bin" / "trtllm-build"
        build.write_text(f"#!{sys.executable}\n{_TOOL.read_text()}")
        build.chmod(0o755)

    def build(self, weight_format: str = "fp16", **settings: Any) -> Bundle:
        settings.setdefault("serving", {"examples_dir": str(self.examples)})
        plan = BuildPlan(
            checkpoint=self.checkpoint,
            name="standin",
            runtime="tensorrt_llm",
            output=self.root / "bundle",
            weight_format=WeightFormat(weight_format),
            accept_quality="stand-in tools build nothing",
            tensorrt_llm=TensorRtLlmSettings.model_validate(settings),
        )
        return build_bundle(plan, lambda _: None)

    @property
    def runs(self) -> list[list[str]]:
        lines = self.log.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]


def write_hf(directory: Path, tokenizer: str) -> None:
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(_CONFIG))
    (directory / "tokenizer.json").write_text(tokenizer)
    (directory / "tokenizer_config.json").write_text("{}")
    (directory / "chat_template.jinja").write_text("{{ messages[0].content }}")
    (directory / "model.safetensors").write_bytes(b"weights")


@pytest.fixture
def workshop(tmp_path: Path, checkpoint: DefaultModel, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    made = Workshop(tmp_path, checkpoint.tokenizer_json)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    monkeypatch.setenv("STAND_IN_LOG", str(made.log))
    monkeypatch.syspath_prepend(tmp_path / "site")
    forget_stand_in()
    return made


def test_a_plan_is_built_by_the_vendor_s_tools(workshop: Workshop) -> None:
    adapter = workshop.root / "sql"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    lora = {"adapters": [{"name": "sql", "path": str(adapter)}]}
    bundle = workshop.build(flavour="engine", parallel={"tensor": 2}, lora=lora)
    convert, build = workshop.runs
    assert convert[0].endswith("llama/convert_checkpoint.py")
    assert facts("1.2").check_argv(["python3", *convert]) == []
    assert facts("1.2").check_argv(["trtllm-build", *build[1:]]) == []
    for name in ("config.json", "rank0.engine", "rank1.engine", "tokenizer.json"):
        assert (bundle.engine_dir / name).is_file()
    assert (bundle.engine_dir / "adapters" / "sql" / "adapter_config.json").is_file()
    bundle.verify()
    manifest = bundle.manifest
    assert manifest.runtime_version == "1.2.0"
    vendor = settings_in(manifest)
    assert vendor is not None
    assert vendor.compute_capability == "9.0"
    assert vendor.lora is not None
    assert vendor.lora.adapters[0].path == "adapters/sql"
    assert manifest.quality is not None
    assert manifest.quality.status == "not_measured"


def test_a_plan_with_guides_has_the_c_plus_plus_backend_s_vocabulary(workshop: Workshop) -> None:
    bundle = workshop.build("fp8", flavour="engine", backend="tensorrtllm")
    info = json.loads((bundle.engine_dir / "xgrammar_tokenizer_info.json").read_text())
    assert set(info) == {"encoded_vocab", "tokenizer_str", "stop_token_ids"}
    assert len(info["encoded_vocab"]) == 49_152
    assert info["stop_token_ids"] == [2]


def test_a_draft_model_is_built_beside_its_target(
    workshop: Workshop, checkpoint: DefaultModel
) -> None:
    draft = workshop.root / "draft"
    write_hf(draft, checkpoint.tokenizer_json)
    speculative = {"kind": "draft_target", "model": str(draft), "max_draft_len": 3}
    bundle = workshop.build(flavour="engine", backend="tensorrtllm", speculative=speculative)
    assert (bundle.engine_dir / "draft" / "rank0.engine").is_file()
    assert len(workshop.runs) == 4
    assert "draft_tokens_external" in workshop.runs[1]


def test_a_checkpoint_becomes_a_bundle_of_flavour_pytorch(workshop: Workshop) -> None:
    bundle = workshop.build(flavour="pytorch", limits={"max_seq_len": 4000, "max_input_len": 99})
    source = workshop.checkpoint / "model.safetensors"
    assert (bundle.engine_dir / "model.safetensors").samefile(source)
    assert bundle.manifest.context_length == 4000
    bundle.verify()


def test_a_quantised_format_wants_a_quantised_checkpoint(workshop: Workshop) -> None:
    with pytest.raises(BuildError, match="not quantised, format 'fp8' wants FP8"):
        workshop.build("fp8")
    described = {"quantization": {"quant_algo": "FP8"}}
    (workshop.checkpoint / "hf_quant_config.json").write_text(json.dumps(described))
    assert workshop.build("fp8").manifest.weight_format == "fp8"


def test_a_tool_that_fails_leaves_nothing_but_its_words(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN_OPTIONS", "--fail")
    with pytest.raises(BuildError, match="told to fail"):
        workshop.build(flavour="engine")
    assert not (workshop.root / "bundle").exists()


def test_what_the_host_lacks_is_named(workshop: Workshop) -> None:
    with pytest.raises(BuildError, match="needs 4 GPUs on this host, nvidia-smi shows 2"):
        workshop.build(parallel={"tensor": 4})
    with pytest.raises(BuildError, match=r"tensorrt_llm 1\.2\.0 is installed"):
        workshop.build(version="1.1")
    with pytest.raises(BuildError, match=r"needs compute capability 10\.0"):
        workshop.build("nvfp4", flavour="engine")


def test_a_gguf_file_is_refused(workshop: Workshop) -> None:
    workshop.checkpoint = workshop.root / "model.gguf"
    workshop.checkpoint.write_bytes(b"GGUF")
    with pytest.raises(CheckpointError, match="not from a GGUF file"):
        workshop.build()
