"""The `openvino` runtime: OpenVINO GenAI's continuous batching pipeline."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from enginehouse.engine.fingerprint import check_fingerprint
from enginehouse.engine.priority import giving_way
from enginehouse.engine.runtime import Drained, SequenceSlot, SlotState
from openvino_genai import py_openvino_genai as genai

from enginehouse.bundle import Bundle
from enginehouse.errors import InvalidRequestError
from enginehouse.generation import GenerationRequest, Guide, GuideKind, Sampling
from enginehouse.manifest import Adapter, EngineSettings
from enginehouse.sizes import kv_bytes_per_token

_PERCENT = 100.0
_LOOKUP_NGRAM = 3


def pipeline(engine_dir: Path, settings: EngineSettings, adapter: Adapter | None = None) -> Any:
    """Create the library's pipeline; benchmarks use the same function for their raw baseline.

    Args:
        engine_dir: directory of the engine files.
        settings: settings of the engine.
        adapter: a LoRA adapter for all requests of this pipeline. The library applies adapters to
            a whole pipeline, and its prefix cache does not tell them apart.
    """
    scheduler = genai.SchedulerConfig()
    scheduler.max_num_seqs = settings.max_batch + 1  # one extra slot for health probes
    scheduler.max_num_batched_tokens = settings.max_batched_tokens
    scheduler.enable_prefix_caching = settings.keeps_prefixes
    scheduler.cache_size = settings.kv_cache_gib
    properties: dict[str, object] = {}
    if settings.precision_hint != "auto":
        properties["INFERENCE_PRECISION_HINT"] = settings.precision_hint
    if settings.kv_cache_precision != "auto":
        properties["KV_CACHE_PRECISION"] = settings.kv_cache_precision
    threads = settings.threads
    if settings.instances > 1:
        threads = threads or max(1, len(os.sched_getaffinity(0)) // settings.instances)
        # Otherwise every process pins its threads to the same first cores.
        properties["ENABLE_CPU_PINNING"] = False
    if threads:
        properties["INFERENCE_NUM_THREADS"] = threads
    if settings.speculative == "prompt_lookup":
        properties["prompt_lookup"] = True
    if adapter is not None:
        file = genai.Adapter(str(engine_dir / adapter.file))
        properties["adapters"] = genai.AdapterConfig(
            file, adapter.scale, mode=genai.AdapterConfig.Mode.MODE_STATIC
        )
    return genai.ContinuousBatchingPipeline(str(engine_dir), scheduler, "CPU", properties, {})


def generation_config(
    request: GenerationRequest, generated: int = 0, settings: EngineSettings | None = None
) -> Any:
    """The library's configuration for a request that already has `generated` tokens."""
    config = genai.GenerationConfig()
    if settings is not None and settings.speculative == "prompt_lookup":
        config.num_assistant_tokens = settings.draft_tokens
        config.max_ngram_size = _LOOKUP_NGRAM
    config.max_new_tokens = request.max_tokens - generated
    config.min_new_tokens = max(0, request.sampling.min_tokens - generated)
    config.logprobs = int(request.return_log_probs)
    config.echo = request.prompt_log_probs and not generated
    if request.end_ids:
        config.eos_token_id = min(request.end_ids)
        config.stop_token_ids = set(request.end_ids)
    else:
        config.ignore_eos = True
    _apply_sampling(config, request.sampling)
    if request.guide is not None:
        config.structured_output_config = _structured_output(request.guide)
    return config


def _apply_sampling(config: Any, sampling: Sampling) -> None:
    config.do_sample = not sampling.greedy
    config.repetition_penalty = sampling.repetition_penalty
    config.presence_penalty = sampling.presence_penalty
    config.frequency_penalty = sampling.frequency_penalty
    if not sampling.greedy:
        config.temperature = sampling.temperature
        config.top_p = sampling.top_p or 1.0
        if sampling.top_k:
            config.top_k = sampling.top_k
        if sampling.min_p:
            config.min_p = sampling.min_p
        config.rng_seed = secrets.randbits(63) if sampling.seed is None else sampling.seed


def _structured_output(guide: Guide) -> Any:
    """The library's form of a compiled guide; `GuideCompiler` has made JSON guides grammars."""
    config = genai.StructuredOutputConfig()
    match guide.kind:
        case GuideKind.REGEX:
            config.regex = guide.text
        case GuideKind.EBNF_GRAMMAR:
            config.grammar = guide.text
        case _:
            raise RuntimeError(f"a guide of kind {guide.kind} was not compiled")
    return config


def _pipelines(bundle: Bundle, settings: EngineSettings) -> dict[str | None, Any]:
    """Pipelines by adapter name; the key None is the one without an adapter."""
    made: dict[str | None, Any] = {None: pipeline(bundle.engine_dir, settings)}
    for adapter in bundle.manifest.adapters:
        made[adapter.name] = pipeline(bundle.engine_dir, settings, adapter)
    return made


class OpenVinoRuntime:
    """See `Runtime`."""

    bad_words_need_a_guide = True
    computes_here = True
    #: OpenVINO GenAI's `cpu_block_size` (`src/cpp/src/continuous_batching/cache_manager.hpp`).
    block_tokens = 32
    unsupported_inputs = frozenset(
        {
            "encoder_input_features",
            "encoder_output_lengths",
            "draft_input_ids",
            "decoder_input_ids",
            "decoder_input_lengths",
            "draft_logits",
            "draft_acceptance_threshold",
            "embedding_bias",
            "runtime_top_p_min",
            "runtime_top_p_decay",
            "runtime_top_p_reset_ids",
            "len_penalty",
            "early_stopping",
            "beam_search_diversity_rate",
            "return_context_logits",
            "return_generation_logits",
            "prompt_embedding_table",
            "prompt_table_extra_ids",
            "prompt_vocab_size",
            "cross_attention_mask",
            "mrope_rotary_cos_sin",
            "mrope_position_deltas",
            "lora_weights",
            "lora_config",
            "context_phase_params",
            "skip_cross_attn_blocks",
            "retention_token_range_starts",
            "retention_token_range_ends",
            "retention_token_range_priorities",
            "retention_token_range_durations_ms",
            "retention_decode_priority",
            "retention_decode_duration_ms",
            "lookahead_window_size",
            "lookahead_ngram_size",
            "lookahead_verification_set_size",
        }
    )

    def __init__(self, bundle: Bundle, settings: EngineSettings) -> None:
        """Load the bundle's engine and its adapters.

        Raises:
            FingerprintError: if the bundle does not fit this host.
        """
        check_fingerprint(bundle.manifest, settings)
        self._vocabulary_size = bundle.manifest.architecture.vocabulary_size
        self._settings = settings
        self.kv_blocks = _kv_blocks(bundle, settings)
        self._pipelines = giving_way(lambda: _pipelines(bundle, settings))
        self._next_key = 0

    def check(self, request: GenerationRequest) -> None:
        """See `Runtime.check`. The library reads out of bounds for an id that does not exist."""
        if request.adapter not in self._pipelines:
            raise InvalidRequestError(
                f"no adapter {request.adapter!r} in this version; there are: "
                f"{', '.join(filter(None, self._pipelines)) or 'none'}",
                field="adapter",
            )
        if request.prompt_log_probs:
            _check_alone(self._settings)
        ids = np.asarray(request.input_ids)
        if ids.min() < 0 or ids.max() >= self._vocabulary_size:
            wrong = ids[(ids < 0) | (ids >= self._vocabulary_size)][0]
            raise InvalidRequestError(
                f"input_ids holds {wrong}; ids of this model are 0 to {self._vocabulary_size - 1}",
                field="input_ids",
            )
        try:
            generation_config(request, settings=self._settings).validate()
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise InvalidRequestError(f"the runtime refuses these parameters: {reason}") from error

    def admit(self, request: GenerationRequest, generated: Sequence[int]) -> SequenceSlot:
        """See `Runtime.admit`."""
        self._next_key += 1
        ids = np.array([[*request.input_ids, *generated]], dtype=np.int64)
        config = generation_config(request, len(generated), self._settings)
        handle = self._pipelines[request.adapter].add_request(
            self._next_key, openvino.Tensor(ids), config
        )
        return _OpenVinoSlot(handle, len(request.input_ids) if config.echo else 0)

    def step(self) -> None:
        """See `Runtime.step`; with an empty batch it only refreshes the metrics."""
        for each in self._pipelines.values():
            each.step()

    def kv_cache_usage(self) -> float:
        """See `Runtime.kv_cache_usage`."""
        usages = [0.0, *(each.get_metrics().cache_usage for each in self._pipelines.values())]
        return float(max(usages)) / _PERCENT

    def close(self) -> None:
        """See `Runtime.close`."""
        self._pipelines.clear()


def _check_alone(settings: EngineSettings) -> None:
    """Check that prompt log-probabilities are possible: requests must not share steps.

    If another request is scheduled earlier in the same step, the library reads that request's rows
    (`_fill_prompt_log_probs`, 2026.4). For a prefix in its cache it returns no values.

    Raises:
        InvalidRequestError: if the settings let requests share steps.
    """
    if not settings.deterministic or settings.speculative != "none":
        raise InvalidRequestError(
            "log-probabilities of a prompt need an engine that computes one answer at a time: "
            "start it with ENGINEHOUSE_ENGINE_DETERMINISTIC=true and without speculative decoding, "
            "or leave out either the echo or the log-probabilities",
            field="prompt_log_probs",
        )


def _kv_blocks(bundle: Bundle, settings: EngineSettings) -> int:
    """Number of KV cache blocks of one pipeline; each adapter has its own pipeline."""
    per_token = kv_bytes_per_token(bundle.manifest.architecture, settings.kv_cache_precision)
    return settings.kv_cache_gib * 2**30 // (per_token * OpenVinoRuntime.block_tokens)


class _OpenVinoSlot:
    def __init__(self, handle: Any, echoed: int = 0) -> None:
        """Wrap the library's handle; it returns `echoed` prompt ids before those of the answer."""
        self._handle = handle
        self._echoed = echoed

    def drain(self) -> Drained:
        ids: list[int] = []
        log_probs: list[float] = []
        state = SlotState.RUNNING
        handle = self._handle
        while handle.can_read():
            for output in handle.read().values():
                ids.extend(output.generated_ids)
                log_probs.extend(output.generated_log_probs)
                if output.finish_reason == genai.GenerationFinishReason.STOP:
                    state = SlotState.FINISHED_STOP
                elif output.finish_reason == genai.GenerationFinishReason.LENGTH:
                    state = SlotState.FINISHED_LENGTH
        prompt: list[float] = []
        if ids and self._echoed:
            # The library reports 1 for the first position, which has no log-probability.
            prompt = [0.0, *log_probs[1 : self._echoed]]
            ids, log_probs = ids[self._echoed :], log_probs[self._echoed :]
            self._echoed = 0
        if not ids and handle.get_status() == genai.GenerationStatus.IGNORED:
            state = SlotState.OUT_OF_MEMORY
        return Drained(ids, log_probs, state, prompt_log_probs=prompt)

    def cancel(self) -> None:
        self._handle.cancel()
