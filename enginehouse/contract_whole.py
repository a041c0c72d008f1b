"""Models that run the ensemble's steps themselves: `<model>.whole`, and two of NVIDIA's names.

`tensorrt_llm_bls` has the inputs and outputs of NVIDIA/TensorRT-LLM,
`triton_backend/all_models/inflight_batcher_llm/tensorrt_llm_bls/config.pbtxt` (commit 0193dbd4).
`<model>.whole` is our own: it accepts text or token ids, so it has the inputs and outputs of
`tensorrt_llm_bls` and of `tensorrt_llm`, all optional.
"""

from __future__ import annotations

from dataclasses import replace

from enginehouse.contract import (
    ENGINE_INPUTS,
    ENGINE_OUTPUTS,
    ENSEMBLE_INPUT_ROUTES,
    ENSEMBLE_INPUTS,
    ENSEMBLE_OUTPUTS,
    TensorSpec,
)

#: Inputs of `tensorrt_llm_bls` that the ensemble lacks → preprocessing's input; None is rejected.
_BLS_ONLY: dict[str, tuple[TensorSpec, str | None]] = {
    "image_input": (TensorSpec("image_input", "FP16", (-1, 3, -1, -1), optional=True), None),
    "image_bytes_input": (
        TensorSpec("image_bytes_input", "UINT8", (-1, -1, -1, -1), optional=True),
        "IMAGE_BYTES",
    ),
    "image_url_input": (TensorSpec("image_url_input", "STRING", optional=True), "IMAGE_URL"),
    "video_bytes_input": (
        TensorSpec("video_bytes_input", "UINT8", (-1, -1, -1, -1), optional=True),
        "VIDEO_BYTES",
    ),
    "num_draft_tokens": (TensorSpec("num_draft_tokens", "INT32", optional=True), None),
    "use_draft_logits": (TensorSpec("use_draft_logits", "BOOL", optional=True), None),
}

#: Text inputs → (part, that part's input).
TEXT_INPUT_ROUTES: dict[str, tuple[str, str]] = {
    **ENSEMBLE_INPUT_ROUTES,
    **{
        name: ("preprocessing", target)
        for name, (_, target) in _BLS_ONLY.items()
        if target is not None
    },
}
#: Inputs of `tensorrt_llm_bls` for a second model; no version here has one, so they are rejected.
REFUSED_INPUTS: tuple[str, ...] = tuple(
    name for name, (_, target) in _BLS_ONLY.items() if target is None
)

_RAGGED_IN_BLS = ("lora_weights", "lora_config")


def _bls_inputs() -> tuple[TensorSpec, ...]:
    """The ensemble's inputs plus those that only `tensorrt_llm_bls` has."""
    ensemble = [
        replace(spec, ragged=spec.name in _RAGGED_IN_BLS, scalar=False) for spec in ENSEMBLE_INPUTS
    ]
    return (*ensemble, *(spec for spec, _ in _BLS_ONLY.values()))


BLS_INPUTS: tuple[TensorSpec, ...] = _bls_inputs()
BLS_OUTPUTS: tuple[TensorSpec, ...] = ENSEMBLE_OUTPUTS


def _together(
    first: tuple[TensorSpec, ...], second: tuple[TensorSpec, ...]
) -> tuple[TensorSpec, ...]:
    """Union by name; a name in both has the same type and shape in both."""
    known = {spec.name for spec in first}
    return (*first, *(spec for spec in second if spec.name not in known))


WHOLE_INPUTS: tuple[TensorSpec, ...] = tuple(
    replace(spec, optional=True, scalar=False) for spec in _together(BLS_INPUTS, ENGINE_INPUTS)
)
WHOLE_OUTPUTS: tuple[TensorSpec, ...] = _together(BLS_OUTPUTS, ENGINE_OUTPUTS)
