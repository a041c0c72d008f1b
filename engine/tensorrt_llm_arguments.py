"""Translates settings and requests into calls of TensorRT-LLM, as data that is not yet executed."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from enginehouse.engine.tensorrt_llm_calls import VendorCall, VendorEnumMember
from enginehouse.engine.tensorrt_llm_settings import (
    DraftTarget,
    Eagle3,
    KvCache,
    Lookahead,
    Lora,
    Medusa,
    Mtp,
    NGram,
    Scheduler,
    Series,
    TensorRtLlmSettings,
)

from enginehouse.generation import GenerationRequest, Guide, GuideKind, Sampling
from enginehouse.manifest import SpecialTokens

#: Decodes ids with the bundle's tokenizer.
Decode = Callable[[Sequence[int]], str]

_LLMAPI = "tensorrt_llm.llmapi"
#: TensorRT-LLM's names of 16-bit types. Checkpoints in other formats name their types themselves.
DTYPES = {"fp16": "float16", "bf16": "bfloat16"}


def resolved(settings: TensorRtLlmSettings, engine_dir: Path) -> TensorRtLlmSettings:
    """The settings with absolute paths of adapters and draft model; a bundle's are relative."""
    changed: dict[str, Any] = {}
    if settings.lora is not None:
        adapters = tuple(
            adapter.model_copy(update={"path": str(engine_dir / adapter.path)})
            for adapter in settings.lora.adapters
        )
        changed["lora"] = settings.lora.model_copy(update={"adapters": adapters})
    if isinstance(settings.speculative, DraftTarget | Eagle3 | Medusa):
        model = str(engine_dir / settings.speculative.model)
        changed["speculative"] = settings.speculative.model_copy(update={"model": model})
    return settings.model_copy(update=changed)


def llm_call(settings: TensorRtLlmSettings, model_dir: str, weight_format: str) -> VendorCall:
    """The call that constructs the LLM for the engine files in `model_dir`."""
    parallel = settings.parallel
    arguments: dict[str, Any] = {
        "model": model_dir,
        "skip_tokenizer_init": settings.guided_decoding is None,
        "tensor_parallel_size": parallel.tensor,
        "pipeline_parallel_size": parallel.pipeline,
        "kv_cache_config": _kv_cache(settings),
        "scheduler_config": _scheduler(settings.scheduler),
        "enable_chunked_prefill": settings.scheduler.chunked_context,
    }
    if parallel.world_size > 1:
        arguments["gpus_per_node"] = parallel.gpus_per_node
    if settings.guided_decoding is not None:
        arguments["guided_decoding_backend"] = settings.guided_decoding
    if settings.speculative is not None:
        arguments["speculative_config"] = _speculative(settings)
    if settings.lora is not None:
        arguments["peft_cache_config"] = _peft_cache(settings.lora)
    if settings.flavour == "engine":
        # The plan contains sizes and types; TensorRT-LLM warns if they are given again.
        if settings.lora is not None:
            arguments["enable_lora"] = True
        return VendorCall("tensorrt_llm._tensorrt_engine", "LLM", arguments)
    return VendorCall("tensorrt_llm", "LLM", arguments | _pytorch(settings, weight_format))


def _pytorch(settings: TensorRtLlmSettings, weight_format: str) -> dict[str, Any]:
    limits, parallel = settings.limits, settings.parallel
    arguments: dict[str, Any] = {
        # A quantised checkpoint describes its quantisation; this flavour takes no `quant_config`.
        "dtype": DTYPES.get(weight_format, "auto"),
        "max_batch_size": limits.max_batch_size,
        "max_input_len": limits.max_input_len,
        "max_num_tokens": limits.max_num_tokens,
        "max_beam_width": limits.max_beam_width,
        # The KV cache usage is part of the statistics, which are off by default.
        "enable_iter_perf_stats": True,
    }
    if limits.max_seq_len is not None:
        arguments["max_seq_len"] = limits.max_seq_len
    if parallel.expert > 1:
        arguments["moe_expert_parallel_size"] = parallel.expert
        arguments["moe_tensor_parallel_size"] = parallel.tensor // parallel.expert
    if settings.lora is not None:
        arguments["lora_config"] = _lora(settings.lora, settings.version)
    if settings.cuda_graphs:
        graphs = {"max_batch_size": limits.max_batch_size, "enable_padding": True}
        arguments["cuda_graph_config"] = VendorCall(_LLMAPI, "CudaGraphConfig", graphs)
    else:
        arguments["cuda_graph_config"] = None
    if settings.attention_data_parallel:
        arguments["enable_attention_dp"] = True
    if not settings.overlap_scheduler:
        arguments["disable_overlap_scheduler"] = True
    return arguments | _sampler(settings)


def _sampler(settings: TensorRtLlmSettings) -> dict[str, Any]:
    if settings.sampler == "auto":
        return {}
    if settings.version == "1.0":  # where the sampler is chosen by a boolean
        return {"enable_trtllm_sampler": settings.sampler == "trtllm"}
    return {"sampler_type": "TRTLLMSampler" if settings.sampler == "trtllm" else "TorchSampler"}


def _kv_cache(settings: TensorRtLlmSettings) -> VendorCall:
    cache: KvCache = settings.kv_cache
    arguments: dict[str, Any] = {
        "free_gpu_memory_fraction": cache.free_gpu_memory_fraction,
        "enable_block_reuse": cache.enable_block_reuse,
        "enable_partial_reuse": cache.enable_partial_reuse,
    }
    if settings.flavour == "pytorch":  # a plan contains its type
        arguments["dtype"] = cache.dtype
        if cache.tokens_per_block is not None:
            arguments["tokens_per_block"] = cache.tokens_per_block
    if cache.max_tokens is not None:
        arguments["max_tokens"] = cache.max_tokens
    if cache.host_cache_bytes:
        arguments["host_cache_size"] = cache.host_cache_bytes
    if cache.max_attention_window is not None:
        arguments["max_attention_window"] = list(cache.max_attention_window)
    if cache.sink_token_length is not None:
        arguments["sink_token_length"] = cache.sink_token_length
    return VendorCall(_LLMAPI, "KvCacheConfig", arguments)


def _scheduler(scheduler: Scheduler) -> VendorCall:
    policy = VendorEnumMember(_LLMAPI, "CapacitySchedulerPolicy", scheduler.capacity_policy)
    arguments: dict[str, Any] = {"capacity_scheduler_policy": policy}
    if scheduler.chunking_policy is not None:
        arguments["context_chunking_policy"] = VendorEnumMember(
            _LLMAPI, "ContextChunkingPolicy", scheduler.chunking_policy
        )
    return VendorCall(_LLMAPI, "SchedulerConfig", arguments)


def _lora(lora: Lora, version: Series) -> VendorCall:
    module = "tensorrt_llm.lora_manager" if version == "1.0" else "tensorrt_llm.lora_helper"
    arguments: dict[str, Any] = {
        "lora_dir": [adapter.path for adapter in lora.adapters],
        "max_lora_rank": lora.max_rank,
        "max_loras": len(lora.adapters),
        "max_cpu_loras": len(lora.adapters),
    }
    if lora.target_modules:
        arguments["lora_target_modules"] = list(lora.target_modules)
    return VendorCall(module, "LoraConfig", arguments)


def _peft_cache(lora: Lora) -> VendorCall:
    arguments = {
        "max_adapter_size": lora.max_rank,
        "device_cache_percent": lora.gpu_cache_fraction,
        "host_cache_size": lora.host_cache_bytes,
    }
    return VendorCall(_LLMAPI, "PeftCacheConfig", arguments)


def _speculative(settings: TensorRtLlmSettings) -> VendorCall:
    kind = settings.speculative
    # The argument for the draft model's directory was renamed after 1.2.
    newest = settings.version == "newest"
    model = "speculative_model" if newest else "speculative_model_dir"
    arguments: dict[str, Any] = {}
    match kind:
        case NGram():
            name = "NGramDecodingConfig"
            arguments["max_draft_len"] = kind.max_draft_len
            arguments["max_matching_ngram_size"] = kind.max_matching_ngram_size
        case DraftTarget():
            name = "DraftTargetDecodingConfig"
            arguments |= {"max_draft_len": kind.max_draft_len, model: kind.model}
        case Eagle3():
            name = "Eagle3DecodingConfig" if newest else "EagleDecodingConfig"
            arguments |= {"max_draft_len": kind.max_draft_len, model: kind.model}
            arguments["eagle3_one_model"] = kind.one_model
        case Mtp():
            name, arguments = "MTPDecodingConfig", _mtp(kind)
        case Medusa():
            name = "MedusaDecodingConfig"
            arguments |= {"max_draft_len": kind.max_draft_len, "num_medusa_heads": kind.heads}
            arguments["medusa_choices"] = [list(path) for path in kind.choices]
        case Lookahead():
            name = "LookaheadDecodingConfig"
            arguments["max_window_size"] = kind.window_size
            arguments["max_ngram_size"] = kind.ngram_size
            arguments["max_verification_set_size"] = kind.verification_set_size
        case None:
            raise ValueError("settings.speculative is None: there is nothing to configure")
    return VendorCall(_LLMAPI, name, arguments)


def _mtp(kind: Mtp) -> dict[str, Any]:
    arguments: dict[str, Any] = {"num_nextn_predict_layers": kind.layers}
    if kind.relaxed_acceptance:
        arguments |= {
            "use_relaxed_acceptance_for_thinking": True,
            "relaxed_topk": kind.relaxed_top_k,
            "relaxed_delta": kind.relaxed_delta,
        }
    return arguments


def sampling_call(
    request: GenerationRequest,
    generated: int,
    tokens: SpecialTokens,
    decode: Decode | None = None,
) -> VendorCall:
    """`SamplingParams` for a request that already has `generated` tokens.

    Args:
        request: the request.
        generated: number of tokens that an interrupted request already has.
        tokens: the model's special tokens.
        decode: decodes ids; None if the library has loaded no tokenizer.

    Raises:
        ValueError: if the library cannot take one of the bad words.
    """
    ends = sorted(request.end_ids)
    arguments: dict[str, Any] = {
        "max_tokens": request.max_tokens - generated,
        # Without a tokenizer the library requires both ids, even if `end_id` is to be ignored.
        "end_id": ends[0] if ends else tokens.end_ids[0],
        "pad_id": tokens.pad_id,
        "ignore_eos": not ends,
        "detokenize": False,
    }
    if len(ends) > 1:
        arguments["stop_token_ids"] = ends[1:]
    if request.return_log_probs:
        arguments["logprobs"] = 1
    arguments |= _bad_words(request.bad_words, decode)
    if request.guide is not None:
        arguments["guided_decoding"] = _guided(request.guide)
    arguments |= _drawing(request.sampling)
    arguments |= _penalties(request.sampling, generated)
    return VendorCall("tensorrt_llm", "SamplingParams", arguments)


def _bad_words(words: Sequence[tuple[int, ...]], decode: Decode | None) -> dict[str, Any]:
    """Bad words of one id as ids, and longer ones as text, which the library tokenizes."""
    single = [word[0] for word in words if len(word) == 1]
    longer = [word for word in words if len(word) > 1]
    if longer and decode is None:
        raise ValueError(
            f"bad_words_list has a word of {len(longer[0])} ids, and this engine was set up "
            "without a tokenizer: give words of one id, or build with guided_decoding 'xgrammar'"
        )
    given: dict[str, Any] = {}
    if single:
        given["bad_token_ids"] = single
    if longer and decode is not None:
        given["bad"] = [decode(word) for word in longer]
    return given


def _drawing(sampling: Sampling) -> dict[str, Any]:
    if sampling.greedy:
        return {"top_k": 1}
    arguments: dict[str, Any] = {
        "temperature": sampling.temperature,
        # Without a seed the library repeats the same draws for every request.
        "seed": secrets.randbits(63) if sampling.seed is None else sampling.seed,
    }
    if sampling.top_k:
        arguments["top_k"] = sampling.top_k
    if sampling.top_p:
        arguments["top_p"] = sampling.top_p
    if sampling.min_p:
        arguments["min_p"] = sampling.min_p
    return arguments


def _penalties(sampling: Sampling, generated: int) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if sampling.repetition_penalty != 1.0:
        given["repetition_penalty"] = sampling.repetition_penalty
    if sampling.presence_penalty:
        given["presence_penalty"] = sampling.presence_penalty
    if sampling.frequency_penalty:
        given["frequency_penalty"] = sampling.frequency_penalty
    if (least := sampling.min_tokens - generated) > 0:
        given["min_tokens"] = least
    return given


def _guided(guide: Guide) -> VendorCall:
    argument: dict[GuideKind, tuple[Literal["json", "json_object", "regex", "grammar"], Any]] = {
        GuideKind.JSON: ("json_object", True),
        GuideKind.JSON_SCHEMA: ("json", guide.text),
        GuideKind.REGEX: ("regex", guide.text),
        GuideKind.EBNF_GRAMMAR: ("grammar", guide.text),
    }
    name, value = argument[guide.kind]
    return VendorCall(_LLMAPI, "GuidedDecodingParams", {name: value})


def lora_call(lora: Lora, name: str) -> VendorCall:
    """`LoRARequest` of an adapter. Ids start at 1, as the library requires.

    Raises:
        KeyError: if no adapter has this name.
    """
    for number, adapter in enumerate(lora.adapters, start=1):
        if adapter.name == name:
            arguments = {"lora_name": name, "lora_int_id": number, "lora_path": adapter.path}
            return VendorCall("tensorrt_llm.executor.request", "LoRARequest", arguments)
    raise KeyError(name)


def generate_arguments(
    ids: list[int], sampling: VendorCall, adapter: VendorCall | None
) -> dict[str, Any]:
    """Keyword arguments of `LLM.generate_async`."""
    arguments: dict[str, Any] = {"inputs": ids, "sampling_params": sampling, "streaming": True}
    if adapter is not None:
        arguments["lora_request"] = adapter
    return arguments
