"""The deployment of one replica: a model on one or several GPUs in a precision."""

from __future__ import annotations

from dataclasses import dataclass

from enginehouse.perf.planner.gpu import GpuModel
from enginehouse.perf.planner.model import ModelShape

from enginehouse.errors import SettingsError
from enginehouse.sizes import kv_bytes_per_token, weight_bytes

#: The arithmetic of each weight format (names of `enginehouse.sizes`). Weights that are compressed
#: in memory only (w8a16, w4a16_awq) are multiplied in 16 bits.
PRECISIONS: dict[str, str] = {
    "bf16": "bf16",
    "fp16": "bf16",
    "fp8": "fp8",
    "smoothquant": "int8",
    "w8a16": "bf16",
    "w4a16_awq": "bf16",
    "nvfp4": "fp4",
}
KV_PRECISIONS = ("auto", "bf16", "fp16", "fp8", "int8")


@dataclass(frozen=True, slots=True)
class Deployment:
    """The deployment of one replica. Create it with `deploy`, which checks the combination."""

    model: ModelShape
    gpu: GpuModel
    precision: str
    kv_precision: str
    tensor_parallel: int

    @property
    def peak_flops_per_s(self) -> float:
        """Dense peak of all GPUs of the replica for the arithmetic of its precision."""
        return self.gpu.flops_per_s[self.arithmetic] * self.tensor_parallel

    @property
    def arithmetic(self) -> str:
        """Type of the multiplications: ``bf16``, ``fp8``, ``int8`` or ``fp4``."""
        return PRECISIONS[self.precision]

    @property
    def weight_bytes_per_gpu(self) -> float:
        """Bytes of weights on one GPU: parameters times bits a weight (`enginehouse.sizes`)."""
        return weight_bytes(self.model.architecture, self.precision) / self.tensor_parallel

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of the keys and values of one token: 2 x layers x KV heads x head size x bytes.

        Source: Kwon et al., arXiv 2309.06180, section 3.
        """
        return kv_bytes_per_token(self.model.architecture, self.kv_precision)

    @property
    def kv_shards(self) -> int:
        """Number of shards of a token's KV cache. With more GPUs than KV heads it is replicated."""
        return min(self.tensor_parallel, self.model.architecture.kv_heads)


def deploy(
    model: ModelShape,
    gpu: GpuModel,
    precision: str = "bf16",
    kv_precision: str = "auto",
    tensor_parallel: int = 1,
) -> Deployment:
    """Create a deployment.

    Args:
        model: shape of the model.
        gpu: the GPU.
        precision: weight format, a key of `PRECISIONS`.
        kv_precision: ``auto`` means fp8 with fp8 and nvfp4 weights, as in NVIDIA's checkpoints, and
            16 bits otherwise.
        tensor_parallel: number of GPUs.

    Raises:
        SettingsError: if the GPU lacks the arithmetic, or the heads cannot be divided evenly.
    """
    _check_precision(gpu, precision)
    if kv_precision not in KV_PRECISIONS:
        raise SettingsError(
            f"kv_precision is {kv_precision!r}; choose one of {', '.join(KV_PRECISIONS)}"
        )
    if kv_precision == "fp8" and "fp8" not in gpu.flops_per_s:
        raise SettingsError(f"kv_precision is 'fp8', which {gpu.name} lacks; choose int8 or bf16")
    if kv_precision == "auto":
        kv_precision = "fp8" if precision in {"fp8", "nvfp4"} else "bf16"
    _check_parallel(model, gpu, tensor_parallel)
    return Deployment(model, gpu, precision, kv_precision, tensor_parallel)


def precisions_of(gpu: GpuModel) -> list[str]:
    """Weight formats whose arithmetic a GPU supports."""
    return [name for name, kind in PRECISIONS.items() if kind in gpu.flops_per_s]


def _check_precision(gpu: GpuModel, precision: str) -> None:
    if precision not in PRECISIONS:
        raise SettingsError(f"precision is {precision!r}; choose one of {', '.join(PRECISIONS)}")
    if precision not in precisions_of(gpu):
        raise SettingsError(
            f"precision is {precision!r}, and {gpu.name} has no {PRECISIONS[precision]} "
            f"arithmetic; choose one of {', '.join(precisions_of(gpu))}, or another GPU"
        )


def _check_parallel(model: ModelShape, gpu: GpuModel, tensor_parallel: int) -> None:
    if not 1 <= tensor_parallel <= gpu.link_gpus:
        raise SettingsError(
            f"tensor_parallel is {tensor_parallel}; a server of {gpu.name} joins 1 to "
            f"{gpu.link_gpus} GPUs"
        )
    if not _shares(model, tensor_parallel):
        possible = [str(n) for n in range(1, gpu.link_gpus + 1) if _shares(model, n)]
        a = model.architecture
        raise SettingsError(
            f"tensor_parallel is {tensor_parallel}, and {model.name} has {a.attention_heads} heads "
            f"and {a.kv_heads} KV heads, which it must share evenly; choose {', '.join(possible)}"
        )


def _shares(model: ModelShape, ways: int) -> bool:
    heads, kv_heads = model.architecture.attention_heads, model.architecture.kv_heads
    return heads % ways == 0 and (kv_heads % ways == 0 or ways % kv_heads == 0)
