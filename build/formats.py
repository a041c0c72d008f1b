"""Weight formats, and what each must keep of the checkpoint's quality."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class WeightFormat(StrEnum):
    """Formats of weights (and, where the name says so, of activations), of all runtimes."""

    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"
    INT4 = "int4"
    FP8 = "fp8"
    W8A16 = "w8a16"
    W4A16_AWQ = "w4a16_awq"
    SMOOTHQUANT = "smoothquant"
    NVFP4 = "nvfp4"


class ParityThresholds(BaseModel):
    """How far an engine may be from its reference.

    Attributes:
        perplexity_ratio: most that perplexity may grow, as a factor.
        mean_kl_nats: most that the mean KL divergence may be.
        equal_tokens_share: least share of greedy tokens before the first divergence.
        tasks_lost: most tasks that the reference solves and the engine does not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    perplexity_ratio: float
    mean_kl_nats: float
    equal_tokens_share: float
    tasks_lost: int


def _thresholds(ratio: float, kl: float, equal: float, lost: int) -> ParityThresholds:
    return ParityThresholds(
        perplexity_ratio=ratio, mean_kl_nats=kl, equal_tokens_share=equal, tasks_lost=lost
    )


#: Set from measurements on the default model with room for another model's noise, and held
#: against damage: weights scaled by 1.1 pass none of them (tests/build/test_proof.py). Those of
#: the GPU formats follow the CPU format of the same width, since no GPU was there to measure.
THRESHOLDS: dict[WeightFormat, ParityThresholds] = {
    WeightFormat.FP16: _thresholds(1.02, 0.01, 0.6, 1),
    WeightFormat.BF16: _thresholds(1.02, 0.01, 0.6, 1),
    WeightFormat.INT8: _thresholds(1.03, 0.03, 0.2, 2),
    WeightFormat.FP8: _thresholds(1.03, 0.03, 0.2, 2),
    WeightFormat.W8A16: _thresholds(1.03, 0.03, 0.2, 2),
    WeightFormat.SMOOTHQUANT: _thresholds(1.03, 0.03, 0.2, 2),
    WeightFormat.INT4: _thresholds(1.3, 0.25, 0.04, 6),
    WeightFormat.W4A16_AWQ: _thresholds(1.3, 0.25, 0.04, 6),
    WeightFormat.NVFP4: _thresholds(1.3, 0.25, 0.04, 6),
}


@dataclass(frozen=True, slots=True)
class FormatCompression:
    """How weights are compressed.

    Attributes:
        bits: bits of a weight; 16 leaves them as they are.
        group_sizes: weights that share a scale, best first; the first that divides every
            layer's input width is taken.
    """

    bits: int
    group_sizes: tuple[int, ...] = ()


COMPRESSION: dict[WeightFormat, FormatCompression] = {
    WeightFormat.FP16: FormatCompression(16),
    WeightFormat.INT8: FormatCompression(8),
    WeightFormat.INT4: FormatCompression(4, (32, 64, 16)),
}
