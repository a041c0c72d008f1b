"""The tensor contract: inputs and outputs of the four Triton models.

Names, dtypes and shapes are NVIDIA's, taken as facts from NVIDIA/TensorRT-LLM,
`triton_backend/all_models/inflight_batcher_llm/*/config.pbtxt` (the last published templates),
so that a client written for that repository works here unchanged. Dims are per request, without
the batch dimension that `max_batch_size` > 0 adds in front.

The templates' ``${…_datatype}`` placeholders are filled as NVIDIA's documentation suggests: logits
FP32, prompt tables and encoder features FP16. The published ensemble has the output
`kv_cache_alloc_total_blocks` twice; Triton accepts it only once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output.

    Attributes:
        dtype: Triton's name without the ``TYPE_`` prefix (``INT32``, ``FP32``, ``STRING``…).
        dims: per request; -1 means any size.
        scalar: dims [1] are presented to the model as [] (the template's ``reshape``).
    """

    name: str
    dtype: str
    dims: tuple[int, ...] = (1,)
    optional: bool = False
    ragged: bool = False
    scalar: bool = False


def _scalars(dtype: str, names: str, *, optional: bool = True) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(n, dtype, optional=optional, scalar=True) for n in names.split())


def _arrays(dtype: str, names: str, dims: tuple[int, ...] = (-1,)) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(n, dtype, dims, optional=True, ragged=True) for n in names.split())


#: Request parameter (the contract has no such input): see `Sampling.min_p`.
MIN_P_PARAMETER = "enginehouse_min_p"
#: Request parameter (not a tensor): higher values go first in the engine's queue.
PRIORITY_PARAMETER = "enginehouse_priority"
#: Request parameter: W3C `traceparent` of the parent span of the engine's spans.
TRACEPARENT_PARAMETER = "enginehouse_traceparent"
#: Request parameter: `output_log_probs` starts with one value for each prompt id; that of the first
#: id is 0, because nothing precedes it. Used together with `return_log_probs`.
PROMPT_LOG_PROBS_PARAMETER = "enginehouse_prompt_log_probs"
#: Request parameter of a `stop`: return the facts that determine this engine's numerical results,
#: as JSON in UTF-8, one byte for each of `output_ids`. Other engines ignore it and stop nothing.
DESCRIBE_PARAMETER = "enginehouse_describe"
#: Priority of health probes. A full engine keeps one slot for them, so that a busy engine is not
#: taken for a dead one.
PROBE_PRIORITY = 2**31 - 1

ENGINE_INPUTS: tuple[TensorSpec, ...] = (
    *_arrays("INT32", "input_ids"),
    *_arrays("FP16", "encoder_input_features", (-1, -1)),
    *_scalars("INT32", "encoder_output_lengths"),
    *_scalars("INT32", "input_lengths request_output_len", optional=False),
    *_scalars("INT32", "num_return_sequences"),
    *_arrays("INT32", "draft_input_ids decoder_input_ids"),
    *_scalars("INT32", "decoder_input_lengths"),
    *_arrays("FP32", "draft_logits", (-1, -1)),
    *_scalars("FP32", "draft_acceptance_threshold"),
    *_scalars("INT32", "end_id pad_id"),
    *_arrays("INT32", "stop_words_list bad_words_list", (2, -1)),
    *_arrays("FP32", "embedding_bias"),
    *_scalars("INT32", "beam_width"),
    *_scalars("FP32", "temperature"),
    *_scalars("INT32", "runtime_top_k"),
    *_scalars("FP32", "runtime_top_p runtime_top_p_min runtime_top_p_decay"),
    *_scalars("INT32", "runtime_top_p_reset_ids"),
    *_scalars("FP32", "len_penalty"),
    *_scalars("BOOL", "early_stopping"),
    *_scalars("FP32", "repetition_penalty"),
    *_scalars("INT32", "min_tokens"),
    *_scalars("FP32", "beam_search_diversity_rate presence_penalty frequency_penalty"),
    *_scalars("UINT64", "seed"),
    *_scalars(
        "BOOL",
        "return_log_probs return_context_logits return_generation_logits return_perf_metrics "
        "return_num_input_tokens return_num_output_tokens exclude_input_in_output stop streaming",
    ),
    *_arrays("FP16", "prompt_embedding_table", (-1, -1)),
    *_arrays("UINT64", "prompt_table_extra_ids"),
    *_scalars("INT32", "prompt_vocab_size"),
    *_arrays("BOOL", "cross_attention_mask", (-1, -1)),
    TensorSpec("mrope_rotary_cos_sin", "FP32", (-1,), optional=True),
    TensorSpec("mrope_position_deltas", "INT64", optional=True),
    *_scalars("UINT64", "lora_task_id"),
    *_arrays("FP16", "lora_weights", (-1, -1)),
    *_arrays("INT32", "lora_config", (-1, 3)),
    *_arrays("UINT8", "context_phase_params"),
    *_arrays("BOOL", "skip_cross_attn_blocks", (1,)),
    *_arrays(
        "INT32",
        "retention_token_range_starts retention_token_range_ends "
        "retention_token_range_priorities retention_token_range_durations_ms",
    ),
    *_arrays("INT32", "retention_decode_priority retention_decode_duration_ms", (1,)),
    *_arrays("STRING", "guided_decoding_guide_type guided_decoding_guide", (1,)),
    *_arrays(
        "INT32",
        "lookahead_window_size lookahead_ngram_size lookahead_verification_set_size",
        (1,),
    ),
)

PERF_OUTPUTS: tuple[TensorSpec, ...] = (
    *(
        TensorSpec(name, "INT32")
        for name in (
            "kv_cache_alloc_new_blocks",
            "kv_cache_reused_blocks",
            "kv_cache_alloc_total_blocks",
        )
    ),
    *(
        TensorSpec(name, "INT64")
        for name in (
            "arrival_time_ns",
            "first_scheduled_time_ns",
            "first_token_time_ns",
            "last_token_time_ns",
        )
    ),
    TensorSpec("acceptance_rate", "FP32"),
    TensorSpec("total_accepted_draft_tokens", "INT32"),
    TensorSpec("total_draft_tokens", "INT32"),
    TensorSpec("num_input_tokens", "INT32"),
    TensorSpec("num_output_tokens", "INT32"),
)
_SCORE_OUTPUTS: tuple[TensorSpec, ...] = (
    TensorSpec("cum_log_probs", "FP32", (-1,)),
    TensorSpec("output_log_probs", "FP32", (-1, -1)),
    TensorSpec("context_logits", "FP32", (-1, -1)),
    TensorSpec("generation_logits", "FP32", (-1, -1, -1)),
    TensorSpec("batch_index", "INT32"),
    TensorSpec("sequence_index", "INT32"),
)

ENGINE_OUTPUTS: tuple[TensorSpec, ...] = (
    TensorSpec("output_ids", "INT32", (-1, -1)),
    TensorSpec("sequence_length", "INT32", (-1,)),
    *_SCORE_OUTPUTS,
    TensorSpec("context_phase_params", "UINT8", (-1,)),
    *PERF_OUTPUTS,
)

PREPROCESSING_INPUTS: tuple[TensorSpec, ...] = (
    TensorSpec("QUERY", "STRING"),
    TensorSpec("DECODER_QUERY", "STRING", optional=True),
    TensorSpec("IMAGE_BYTES", "UINT8", (-1, -1, -1, -1), optional=True),
    TensorSpec("IMAGE_URL", "STRING", optional=True),
    TensorSpec("IMAGES", "STRING", (-1,), optional=True),
    TensorSpec("VIDEO_BYTES", "UINT8", (-1, -1, -1, -1), optional=True),
    TensorSpec("REQUEST_OUTPUT_LEN", "INT32"),
    TensorSpec("BAD_WORDS_DICT", "STRING", (-1,), optional=True),
    TensorSpec("STOP_WORDS_DICT", "STRING", (-1,), optional=True),
    TensorSpec("EMBEDDING_BIAS_WORDS", "STRING", (-1,), optional=True),
    TensorSpec("EMBEDDING_BIAS_WEIGHTS", "FP32", (-1,), optional=True),
    TensorSpec("END_ID", "INT32", optional=True),
    TensorSpec("PAD_ID", "INT32", optional=True),
    TensorSpec("PROMPT_TABLE_EXTRA_ID", "UINT64", optional=True),
)

PREPROCESSING_OUTPUTS: tuple[TensorSpec, ...] = (
    TensorSpec("INPUT_ID", "INT32", (-1,)),
    TensorSpec("REQUEST_INPUT_LEN", "INT32"),
    TensorSpec("DECODER_INPUT_ID", "INT32", (-1,)),
    TensorSpec("REQUEST_DECODER_INPUT_LEN", "INT32"),
    TensorSpec("BAD_WORDS_IDS", "INT32", (2, -1)),
    TensorSpec("STOP_WORDS_IDS", "INT32", (2, -1)),
    TensorSpec("EMBEDDING_BIAS", "FP32", (-1,)),
    TensorSpec("REQUEST_OUTPUT_LEN", "INT32", (-1,)),
    TensorSpec("OUT_END_ID", "INT32"),
    TensorSpec("OUT_PAD_ID", "INT32"),
    TensorSpec("OUT_PROMPT_TABLE_EXTRA_IDS", "UINT64", (-1,)),
    TensorSpec("PIXEL_VALUES", "FP16", (-1, -1, -1, -1)),
    TensorSpec("ASPECT_RATIO_IDS", "INT64", (-1,)),
    TensorSpec("ASPECT_RATIO_MASK", "INT64", (-1, -1)),
    TensorSpec("CROSS_ATTENTION_MASK", "INT64", (-1, -1, -1)),
    TensorSpec("IMAGE_SIZES", "INT64", (-1, 2)),
    TensorSpec("IS_VIDEO_INPUT", "BOOL"),
    TensorSpec("ATTENTION_MASK", "INT64", (-1,)),
    TensorSpec("IMAGE_GRID_THW", "INT64", (3,)),
    TensorSpec("VISION_INPUT_ID", "INT32", (-1,)),
)

POSTPROCESSING_INPUTS: tuple[TensorSpec, ...] = (
    TensorSpec("TOKENS_BATCH", "INT32", (-1, -1)),
    TensorSpec("SEQUENCE_LENGTH", "INT32", (-1,)),
)
POSTPROCESSING_OUTPUTS: tuple[TensorSpec, ...] = (TensorSpec("OUTPUT", "STRING", (-1,)),)

#: Ensemble input → (part, that part's input), in the published order.
ENSEMBLE_INPUT_ROUTES: dict[str, tuple[str, str]] = {
    "text_input": ("preprocessing", "QUERY"),
    "decoder_text_input": ("preprocessing", "DECODER_QUERY"),
    "max_tokens": ("preprocessing", "REQUEST_OUTPUT_LEN"),
    "num_return_sequences": ("tensorrt_llm", "num_return_sequences"),
    "bad_words": ("preprocessing", "BAD_WORDS_DICT"),
    "stop_words": ("preprocessing", "STOP_WORDS_DICT"),
    "exclude_input_in_output": ("tensorrt_llm", "exclude_input_in_output"),
    "end_id": ("preprocessing", "END_ID"),
    "pad_id": ("preprocessing", "PAD_ID"),
    "top_k": ("tensorrt_llm", "runtime_top_k"),
    "top_p": ("tensorrt_llm", "runtime_top_p"),
    "temperature": ("tensorrt_llm", "temperature"),
    "length_penalty": ("tensorrt_llm", "len_penalty"),
    "repetition_penalty": ("tensorrt_llm", "repetition_penalty"),
    "min_tokens": ("tensorrt_llm", "min_tokens"),
    "presence_penalty": ("tensorrt_llm", "presence_penalty"),
    "frequency_penalty": ("tensorrt_llm", "frequency_penalty"),
    "seed": ("tensorrt_llm", "seed"),
    "return_log_probs": ("tensorrt_llm", "return_log_probs"),
    "return_context_logits": ("tensorrt_llm", "return_context_logits"),
    "return_generation_logits": ("tensorrt_llm", "return_generation_logits"),
    "return_perf_metrics": ("tensorrt_llm", "return_perf_metrics"),
    "return_num_input_tokens": ("tensorrt_llm", "return_num_input_tokens"),
    "return_num_output_tokens": ("tensorrt_llm", "return_num_output_tokens"),
    "beam_width": ("tensorrt_llm", "beam_width"),
    "stream": ("tensorrt_llm", "streaming"),
    "prompt_embedding_table": ("tensorrt_llm", "prompt_embedding_table"),
    "prompt_table_extra_id": ("preprocessing", "PROMPT_TABLE_EXTRA_ID"),
    "prompt_vocab_size": ("tensorrt_llm", "prompt_vocab_size"),
    "embedding_bias_words": ("preprocessing", "EMBEDDING_BIAS_WORDS"),
    "embedding_bias_weights": ("preprocessing", "EMBEDDING_BIAS_WEIGHTS"),
    "lora_task_id": ("tensorrt_llm", "lora_task_id"),
    "lora_weights": ("tensorrt_llm", "lora_weights"),
    "lora_config": ("tensorrt_llm", "lora_config"),
    "guided_decoding_guide_type": ("tensorrt_llm", "guided_decoding_guide_type"),
    "guided_decoding_guide": ("tensorrt_llm", "guided_decoding_guide"),
}

#: Preprocessing output → engine input, inside the ensemble.
ENSEMBLE_PREPROCESSED: dict[str, str] = {
    "REQUEST_INPUT_LEN": "input_lengths",
    "INPUT_ID": "input_ids",
    "REQUEST_DECODER_INPUT_LEN": "decoder_input_lengths",
    "DECODER_INPUT_ID": "decoder_input_ids",
    "REQUEST_OUTPUT_LEN": "request_output_len",
    "STOP_WORDS_IDS": "stop_words_list",
    "BAD_WORDS_IDS": "bad_words_list",
    "EMBEDDING_BIAS": "embedding_bias",
    "OUT_END_ID": "end_id",
    "OUT_PAD_ID": "pad_id",
    "OUT_PROMPT_TABLE_EXTRA_IDS": "prompt_table_extra_ids",
}

#: Engine outputs that the ensemble returns under the same names.
ENSEMBLE_PASSED_OUTPUTS: tuple[str, ...] = tuple(
    spec.name for spec in (*_SCORE_OUTPUTS, *PERF_OUTPUTS)
)

_PARTS: dict[str, tuple[TensorSpec, ...]] = {
    "preprocessing": PREPROCESSING_INPUTS,
    "tensorrt_llm": ENGINE_INPUTS,
}


def _ensemble_inputs() -> Iterable[TensorSpec]:
    """Ensemble inputs, each with the type of the part's input that it feeds."""
    required = {"text_input", "max_tokens"}
    ragged = {"lora_weights", "lora_config", "guided_decoding_guide_type", "guided_decoding_guide"}
    for name, (suffix, target) in ENSEMBLE_INPUT_ROUTES.items():
        spec = next(s for s in _PARTS[suffix] if s.name == target)
        yield replace(
            spec,
            name=name,
            optional=name not in required,
            ragged=name in ragged,
            scalar=False,
        )


ENSEMBLE_INPUTS: tuple[TensorSpec, ...] = tuple(_ensemble_inputs())
ENSEMBLE_OUTPUTS: tuple[TensorSpec, ...] = (
    TensorSpec("text_output", "STRING", (-1,)),
    *_SCORE_OUTPUTS,
    *PERF_OUTPUTS,
)


def ensemble_input_for(engine_input: str) -> str | None:
    """The ensemble input that feeds the engine input `engine_input`, or None."""
    preprocessed = {engine: out for out, engine in ENSEMBLE_PREPROCESSED.items()}
    if engine_input in preprocessed:
        wanted = _PREPROCESSING_SOURCES.get(preprocessed[engine_input])
        target = ("preprocessing", wanted)
    else:
        target = ("tensorrt_llm", engine_input)
    return next((name for name, route in ENSEMBLE_INPUT_ROUTES.items() if route == target), None)


#: Preprocessing output → the preprocessing input that requests it.
_PREPROCESSING_SOURCES = {
    "INPUT_ID": "QUERY",
    "REQUEST_INPUT_LEN": "QUERY",
    "DECODER_INPUT_ID": "DECODER_QUERY",
    "REQUEST_DECODER_INPUT_LEN": "DECODER_QUERY",
    "REQUEST_OUTPUT_LEN": "REQUEST_OUTPUT_LEN",
    "STOP_WORDS_IDS": "STOP_WORDS_DICT",
    "BAD_WORDS_IDS": "BAD_WORDS_DICT",
    "EMBEDDING_BIAS": "EMBEDDING_BIAS_WORDS",
    "OUT_END_ID": "END_ID",
    "OUT_PAD_ID": "PAD_ID",
    "OUT_PROMPT_TABLE_EXTRA_IDS": "PROMPT_TABLE_EXTRA_ID",
}

#: `<model>` of an embedding model. NVIDIA's repository has none; the input has the name and type of
#: the ensemble's text. `embedding` has no fixed length, so that versions with different dimensions
#: can be loaded side by side.
EMBEDDING_INPUTS: tuple[TensorSpec, ...] = (TensorSpec("text_input", "STRING"),)
EMBEDDING_OUTPUTS: tuple[TensorSpec, ...] = (
    TensorSpec("embedding", "FP32", (-1,)),
    TensorSpec("num_input_tokens", "INT32"),
)
#: Maximum number of texts in one call, and in one execution, of an embedding model.
EMBEDDING_MAX_BATCH = 32
#: Triton's priority levels of an embedding model: 1 for probes, 2 for all other requests.
EMBEDDING_PROBE_PRIORITY = 1
EMBEDDING_PRIORITY_LEVELS = 2
