"""Everything that our code can hand to TensorRT-LLM: one case for each setting and combination."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from enginehouse.build.formats import WeightFormat
from enginehouse.build.tensorrt_llm_commands import BuildPaths, Network, engine_commands
from enginehouse.build.tensorrt_llm_formats import CONVERTERS, FORMATS
from enginehouse.engine.tensorrt_llm_settings import TensorRtLlmSettings

from enginehouse.errors import BuildError
from enginehouse.generation import GenerationRequest, Guide, GuideKind, Sampling

PARALLEL: tuple[dict[str, int], ...] = (
    {},
    {"tensor": 4},
    {"pipeline": 2},
    {"tensor": 4, "pipeline": 2, "gpus_per_node": 8},
    {"tensor": 8, "pipeline": 2, "gpus_per_node": 8},
    {"tensor": 4, "expert": 2},
)
_LORA = {
    "adapters": [{"name": "sql", "path": "/adapters/sql"}, {"name": "law", "path": "/a/law"}],
    "max_rank": 16,
    "target_modules": ["attn_q", "attn_v"],
    "gpu_cache_fraction": 0.1,
    "host_cache_bytes": 1 << 20,
}
_COMMON: tuple[dict[str, Any], ...] = (
    {},
    {"limits": {"max_batch_size": 8, "max_input_len": 100, "max_seq_len": 200}},
    {"limits": {"max_num_tokens": 2048, "max_beam_width": 2}},
    {"kv_cache": {"dtype": "fp8", "free_gpu_memory_fraction": 0.5, "max_tokens": 100_000}},
    {"kv_cache": {"enable_block_reuse": False, "enable_partial_reuse": False}},
    {"kv_cache": {"host_cache_bytes": 1 << 30, "sink_token_length": 4}},
    {"kv_cache": {"max_attention_window": [512, 1024]}},
    {"scheduler": {"capacity_policy": "MAX_UTILIZATION", "chunked_context": False}},
    {"scheduler": {"chunking_policy": "EQUAL_PROGRESS"}},
    {"scheduler": {"chunking_policy": "FIRST_COME_FIRST_SERVED"}},
    {"lora": _LORA},
    {"lora": {"adapters": _LORA["adapters"]}},
    {"guided_decoding": None},
    {"compute_capability": "10.0"},
    {"calibration": {"dataset": "/texts", "samples": 64}},
    {"serving": {"gpu_device_ids": [[0, 1]], "participant_ids": [[1, 2]], "container": "own"}},
)
_ENGINE: tuple[dict[str, Any], ...] = (
    {"backend": "tensorrtllm"},
    {"kv_cache": {"dtype": "int8"}},
    {"kv_cache": {"tokens_per_block": 64}},
    {
        "backend": "tensorrtllm",
        "speculative": {"kind": "draft_target", "model": "/draft", "max_draft_len": 3},
    },
    {"speculative": {"kind": "lookahead"}},
    {
        "speculative": {
            "kind": "medusa",
            "model": "/heads",
            "heads": 2,
            "max_draft_len": 7,
            "choices": [[0], [0, 0], [1]],
        }
    },
)
_PYTORCH: tuple[dict[str, Any], ...] = (
    {"guided_decoding": "llguidance"},
    {"kv_cache": {"tokens_per_block": 64}},
    {"speculative": {"kind": "ngram", "max_draft_len": 6, "max_matching_ngram_size": 3}},
    {"speculative": {"kind": "draft_target", "model": "/draft"}},
    {"speculative": {"kind": "eagle3", "model": "/head", "one_model": False}},
    {"speculative": {"kind": "mtp", "layers": 2}},
    {
        "speculative": {
            "kind": "mtp",
            "relaxed_acceptance": True,
            "relaxed_top_k": 4,
            "relaxed_delta": 0.5,
        }
    },
    {"sampler": "trtllm"},
    {"sampler": "torch"},
    {"cuda_graphs": False},
    {"attention_data_parallel": True},
    {"overlap_scheduler": False},
)


def _together(changes: tuple[dict[str, Any], ...]) -> Iterator[dict[str, Any]]:
    """Speculation, adapters and guides with one another."""
    speculations = [c for c in changes if "speculative" in c]
    adapters = [{"lora": _LORA}, {"lora": None}]
    guides = [{"guided_decoding": name} for name in (None, "xgrammar")]
    for one, two, three in itertools.product(speculations, adapters, guides):
        yield one | two | three


def every_setting(flavour: str, series: str) -> Iterator[TensorRtLlmSettings]:
    """Each setting away from its default, with each way to spread the network."""
    own = _ENGINE if flavour == "engine" else _PYTORCH
    for changed in (*_COMMON, *own, *_together(own)):
        for parallel in PARALLEL:
            given = {"flavour": flavour, "version": series, "parallel": parallel, **changed}
            if flavour == "engine" and parallel.get("tensor") == 8:
                given["backend"] = "tensorrtllm"
            try:
                yield TensorRtLlmSettings.model_validate(given)
            except ValueError:
                # The one setting that a version lacks, and that is refused for it.
                assert "tokens_per_block" in str(changed), changed
                assert series in {"1.0", "1.1"}, changed


def every_build(
    settings: TensorRtLlmSettings,
) -> Iterator[tuple[str, WeightFormat, list[tuple[str, ...]]]]:
    """Command lines of each format and family that the settings allow."""
    places = BuildPaths(PurePath("/scratch"), PurePath("/bundle/engine"))
    drafted = settings.speculative is not None and settings.speculative.kind == "draft_target"
    for weight_format in FORMATS:
        for family in CONVERTERS:
            target = Network(PurePath("/model"), family)
            draft = Network(PurePath("/draft"), family) if drafted else None
            try:
                commands = engine_commands(settings, weight_format, target, draft, places)
            except BuildError:
                continue
            yield family, weight_format, [command.argv for command in commands]


def every_request() -> Iterator[GenerationRequest]:
    """Each field of a request away from its default."""
    prompt = [1, 2, 3]
    yield GenerationRequest(prompt, 5)
    yield GenerationRequest(prompt, 5, end_ids=frozenset({2}), return_log_probs=True)
    yield GenerationRequest(prompt, 5, end_ids=frozenset({2, 7, 9}))
    for kind in GuideKind:
        yield GenerationRequest(prompt, 5, guide=Guide(kind, "x"))
    yield GenerationRequest(
        prompt,
        5,
        sampling=Sampling(
            temperature=0.7,
            top_k=20,
            top_p=0.9,
            seed=11,
            repetition_penalty=1.1,
            presence_penalty=0.2,
            frequency_penalty=0.3,
            min_tokens=2,
            min_p=0.05,
        ),
    )
    yield GenerationRequest(prompt, 5, sampling=Sampling(top_p=0.9))
    yield GenerationRequest(prompt, 5, bad_words=((4,), (5, 6)))
