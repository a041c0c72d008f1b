"""`config.pbtxt` of NVIDIA's C++ backend `tensorrtllm`, with every parameter that it reads.

Keys, values and defaults come from NVIDIA/TensorRT-LLM,
`triton_backend/all_models/inflight_batcher_llm/tensorrt_llm/config.pbtxt` and
`inflight_batcher_llm/src/model_instance_state.cc`; they are equal in 1.0, 1.1 and 1.2. The backend
fails if any of four keys is missing, so every config has all keys. A key that is not set is the
empty string, for which the backend uses its default.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from enginehouse.engine.tensorrt_llm_settings import Lookahead, Medusa, TensorRtLlmSettings
from enginehouse.model_repository.config import add_tensors
from tritonclient.grpc import model_config_pb2 as pb

from enginehouse import contract
from enginehouse.names import TENSORRT_LLM, part

BACKEND = "tensorrtllm"
_WORKER = "/opt/tritonserver/backends/tensorrtllm/trtllmExecutorWorker"


def tensorrtllm_config(
    model: str, version: int, settings: TensorRtLlmSettings, engine_dir: str, max_queue: int
) -> Any:
    """`<model>.tensorrt_llm` in the C++ backend.

    Args:
        model: model name.
        version: the only version to load.
        settings: settings of the runtime.
        engine_dir: directory of the plan on the server.
        max_queue: most requests that may wait in Triton.
    """
    batch = settings.limits.max_batch_size
    config = pb.ModelConfig(name=part(model, TENSORRT_LLM), backend=BACKEND, max_batch_size=batch)
    config.model_transaction_policy.decoupled = True
    config.version_policy.specific.versions.append(version)
    config.dynamic_batching.preferred_batch_size.append(batch)
    config.dynamic_batching.default_queue_policy.max_queue_size = max_queue
    config.instance_group.add(count=1, kind=pb.ModelInstanceGroup.KIND_CPU)
    add_tensors(config, contract.ENGINE_INPUTS, contract.ENGINE_OUTPUTS)
    for name, value in backend_parameters(settings, engine_dir).items():
        config.parameters[name].string_value = value
    return config


def backend_parameters(settings: TensorRtLlmSettings, engine_dir: str) -> dict[str, str]:
    """All parameters of the backend by key; the value of an unset one is empty."""
    return {
        **_engine(settings, engine_dir),
        **_cache(settings),
        **_ranks(settings),
        **_lora(settings),
        **_decoding(settings),
        **_guided(settings, engine_dir),
        **_unchanged(),
    }


def _engine(settings: TensorRtLlmSettings, engine_dir: str) -> dict[str, str]:
    return {
        "gpt_model_type": "inflight_fused_batching",
        "gpt_model_path": engine_dir,
        "encoder_model_path": "",
        "max_beam_width": str(settings.limits.max_beam_width),
        "batch_scheduler_policy": settings.scheduler.capacity_policy.lower(),
        "enable_chunked_context": _flag(on=settings.scheduler.chunked_context),
        "executor_worker_path": _WORKER,
    }


def _cache(settings: TensorRtLlmSettings) -> dict[str, str]:
    cache = settings.kv_cache
    return {
        "max_tokens_in_paged_kv_cache": _number(cache.max_tokens),
        "max_attention_window_size": _numbers(cache.max_attention_window or ()),
        "sink_token_length": _number(cache.sink_token_length),
        "kv_cache_free_gpu_mem_fraction": str(cache.free_gpu_memory_fraction),
        "cross_kv_cache_fraction": "",
        "kv_cache_host_memory_bytes": str(cache.host_cache_bytes),
        "kv_cache_onboard_blocks": "true",
        "enable_kv_cache_reuse": _flag(on=cache.enable_block_reuse),
    }


def _ranks(settings: TensorRtLlmSettings) -> dict[str, str]:
    """Device ids of each instance. On several nodes every rank uses its own node's GPU."""
    parallel, serving = settings.parallel, settings.serving
    devices = serving.gpu_device_ids
    if not devices and parallel.nodes == 1:
        devices = (tuple(range(parallel.world_size)),)
    return {
        "gpu_device_ids": ";".join(map(_numbers, devices)),
        "participant_ids": ";".join(map(_numbers, serving.participant_ids)),
        "num_nodes": str(parallel.nodes),
    }


def _lora(settings: TensorRtLlmSettings) -> dict[str, str]:
    lora = settings.lora
    return {
        "lora_cache_optimal_adapter_size": "" if lora is None else str(min(8, lora.max_rank)),
        "lora_cache_max_adapter_size": "" if lora is None else str(lora.max_rank),
        "lora_cache_gpu_memory_fraction": "" if lora is None else str(lora.gpu_cache_fraction),
        "lora_cache_host_memory_bytes": "" if lora is None else str(lora.host_cache_bytes),
        "lora_prefetch_dir": "",
    }


def _decoding(settings: TensorRtLlmSettings) -> dict[str, str]:
    kind = settings.speculative
    window = ngram = verification = mode = choices = ""
    if isinstance(kind, Lookahead):
        mode, window, ngram = kind.kind, str(kind.window_size), str(kind.ngram_size)
        verification = str(kind.verification_set_size)
    elif isinstance(kind, Medusa):
        mode, choices = kind.kind, _tree(kind.choices)
    return {
        "decoding_mode": mode,
        "lookahead_window_size": window,
        "lookahead_ngram_size": ngram,
        "lookahead_verification_set_size": verification,
        "medusa_choices": choices,
        "eagle_choices": "",
        "speculative_decoding_fast_logits": "false",
    }


def _guided(settings: TensorRtLlmSettings, engine_dir: str) -> dict[str, str]:
    on = settings.guided_decoding is not None
    return {
        "guided_decoding_backend": settings.guided_decoding or "",
        "tokenizer_dir": engine_dir if on else "",
        "xgrammar_tokenizer_info_path": f"{engine_dir}/xgrammar_tokenizer_info.json" if on else "",
    }


def _unchanged() -> dict[str, str]:
    """Parameters with a fixed value, and those that are left to the backend's default."""
    return {
        "enable_trt_overlap": "",
        "exclude_input_in_output": "false",
        "cancellation_check_period_ms": "100",
        "stats_check_period_ms": "100",
        "iter_stats_max_iterations": "",
        "request_stats_max_iterations": "",
        "normalize_log_probs": "true",
        "gpu_weights_percent": "",
        "enable_context_fmha_fp32_acc": "",
        "multi_block_mode": "true",
        "cuda_graph_mode": "",
        "cuda_graph_cache_size": "",
        "FORCE_CPU_ONLY_INPUT_TENSORS": "no",
    }


def _flag(*, on: bool) -> str:
    return "true" if on else "false"


def _number(value: int | None) -> str:
    return "" if value is None else str(value)


def _numbers(values: Sequence[int]) -> str:
    return ",".join(map(str, values))


def _tree(paths: Sequence[Sequence[int]]) -> str:
    return ", ".join("{" + ", ".join(map(str, path)) + "}" for path in paths)
