"""Weight formats, and the loss of quality that is allowed for each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class WeightFormat(StrEnum):
    """Weight formats of all runtimes; some names also give the format of activations."""

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
    """The largest allowed differences between an engine and its reference.

    Attributes:
        perplexity_ratio: largest ratio of the engine's perplexity to the reference's.
        mean_kl_nats: largest mean KL divergence.
        equal_tokens_share: smallest share of greedy tokens before the first divergence.
        tasks_lost: largest number of tasks that the reference solves and the engine does not.
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


#: Set from measurements on the default model, with a margin for the noise of other models. Damaged
#: weights (scaled by 1.1) fail every one of them (tests/build/test_proof.py). The thresholds of GPU
#: formats are those of the CPU format with the same width; they were not measured on a GPU.
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
        bits: bits of a weight; 16 leaves the weights uncompressed.
        group_sizes: numbers of weights that share a scale, best first. The first that divides the
            input width of every layer is used.
    """

    bits: int
    group_sizes: tuple[int, ...] = ()


COMPRESSION: dict[WeightFormat, FormatCompression] = {
    WeightFormat.FP16: FormatCompression(16),
    WeightFormat.INT8: FormatCompression(8),
    WeightFormat.INT4: FormatCompression(4, (32, 64, 16)),
}
