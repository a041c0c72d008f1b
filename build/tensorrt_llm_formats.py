"""TensorRT-LLM's parameters of each weight format, and the builds that it supports."""

from __future__ import annotations

from dataclasses import dataclass

from enginehouse.build.formats import WeightFormat
from enginehouse.engine.tensorrt_llm_settings import Flavour, Medusa, TensorRtLlmSettings

from enginehouse.errors import BuildError

#: Folder of NVIDIA's converter under `models/core`, by `model_type`.
CONVERTERS = {
    "llama": "llama",
    "mistral": "llama",
    "mixtral": "llama",
    "qwen2": "qwen",
    "qwen2_moe": "qwen",
    "qwen3": "qwen",
    "qwen3_moe": "qwen",
}
_BOTH: tuple[Flavour, ...] = ("engine", "pytorch")


@dataclass(frozen=True, slots=True)
class GpuFormat:
    """One weight format.

    Attributes:
        compute_capability: lowest that has kernels for it (ModelOpt's support matrix).
        dtype: `--dtype` of NVIDIA's scripts.
        qformat: `--qformat` of `quantize.py`; None means that `convert_checkpoint.py` is used.
        quant_algo: the format's name in `hf_quant_config.json` of a quantised checkpoint.
        kv_dtype: default type of the KV cache; None leaves it to the tools.
        calibrated: whether the converter needs calibration texts.
        gemm_plugin: whether TensorRT's GEMM plugin is used; FP8 and FP4 have their own kernels.
    """

    compute_capability: tuple[int, int]
    dtype: str = "auto"
    qformat: str | None = None
    quant_algo: str | None = None
    kv_dtype: str | None = None
    convert_flags: tuple[str, ...] = ()
    calibrated: bool = False
    block_size: int | None = None
    gemm_plugin: bool = True
    flavours: tuple[Flavour, ...] = _BOTH


FORMATS: dict[WeightFormat, GpuFormat] = {
    WeightFormat.FP16: GpuFormat((7, 0), dtype="float16"),
    WeightFormat.BF16: GpuFormat((8, 0), dtype="bfloat16"),
    WeightFormat.FP8: GpuFormat(
        (8, 9), qformat="fp8", quant_algo="FP8", kv_dtype="fp8", gemm_plugin=False
    ),
    WeightFormat.W8A16: GpuFormat(
        (8, 0),
        convert_flags=("--use_weight_only", "--weight_only_precision", "int8"),
        flavours=("engine",),
    ),
    WeightFormat.W4A16_AWQ: GpuFormat(
        (8, 0), qformat="int4_awq", quant_algo="W4A16_AWQ", block_size=128
    ),
    WeightFormat.SMOOTHQUANT: GpuFormat(
        (8, 0),
        convert_flags=("--smoothquant", "0.5", "--per_token", "--per_channel"),
        calibrated=True,
        flavours=("engine",),
    ),
    WeightFormat.NVFP4: GpuFormat(
        (10, 0), qformat="nvfp4", quant_algo="NVFP4", kv_dtype="fp8", gemm_plugin=False
    ),
}


def check_format(settings: TensorRtLlmSettings, weight_format: WeightFormat, family: str) -> None:
    """Check that NVIDIA's tools support a build.

    Raises:
        BuildError: names the field, its value and the way out.
    """
    gpu = FORMATS.get(weight_format)
    if gpu is None or settings.flavour not in gpu.flavours:
        known = ", ".join(f for f, g in FORMATS.items() if settings.flavour in g.flavours)
        raise BuildError(
            f"format {weight_format.value!r} is not one of flavour {settings.flavour!r}: choose "
            f"one of {known}, or the other flavour"
        )
    check_capability(settings, weight_format)
    if settings.flavour == "engine":
        _check_engine(settings, weight_format, gpu, family)


def check_capability(settings: TensorRtLlmSettings, weight_format: WeightFormat) -> None:
    """Check that the GPU has kernels for the format.

    Raises:
        BuildError: names the compute capability that is needed.
    """
    given = settings.compute_capability
    needed = FORMATS[weight_format].compute_capability
    if given is not None and tuple(map(int, given.split("."))) < needed:
        raise BuildError(
            f"format {weight_format.value!r} needs compute capability {needed[0]}.{needed[1]}, "
            f"compute_capability is {given}: choose another --format, or another GPU"
        )


def _check_engine(
    settings: TensorRtLlmSettings, weight_format: WeightFormat, gpu: GpuFormat, family: str
) -> None:
    if gpu.qformat is None and family not in CONVERTERS:
        raise BuildError(
            f"model_type is {family!r}, and a TensorRT plan is built for "
            f"{', '.join(CONVERTERS)}: use --flavour pytorch"
        )
    if gpu.qformat is not None and settings.parallel.expert > 1:
        raise BuildError(
            f"parallel.expert is {settings.parallel.expert}, and the vendor's quantisation script "
            f"for format {weight_format.value!r} does not spread experts: set it to 1, or use "
            "--flavour pytorch"
        )
    if gpu.qformat is None and isinstance(settings.speculative, Medusa):
        raise BuildError(
            f"speculative.kind is 'medusa' with format {weight_format.value!r}: its heads are "
            "converted together with quantisation; choose --format fp8, w4a16_awq or nvfp4"
        )
