"""`reports/parity.json`: the proof of quality inside a bundle."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

from enginehouse.build.formats import ParityThresholds
from pydantic import BaseModel, ConfigDict

from enginehouse.manifest import Quality

PARITY_FILE = "reports/parity.json"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Perplexity(_Frozen):
    """exp of the mean negative log-likelihood over `positions` tokens."""

    reference: float
    engine: float
    ratio: float
    positions: int


class KlDivergence(_Frozen):
    """Mean KL(reference ‖ engine) of next-token distributions.

    Attributes:
        unavailable: the reason if it was not measured.
    """

    mean_nats: float | None
    positions: int
    unavailable: str | None = None


class GreedyAgreement(_Frozen):
    """Comparison of greedy continuations.

    Attributes:
        first_divergence: for each prompt the index of the first different token, or None.
        equal_tokens_share: share of the tokens that are before the first difference.
    """

    prompts: int
    identical: int
    first_divergence: tuple[int | None, ...]
    equal_tokens_share: float


class TaskScore(_Frozen):
    """Results on tasks with exact answers; `lost` lists those that only the reference solves."""

    total: int
    reference_solved: int
    engine_solved: int
    lost: tuple[str, ...]


class Measurements(_Frozen):
    """The measurements of a proof."""

    tokenizer_differs_on: int
    perplexity: Perplexity | None
    kl_divergence: KlDivergence
    greedy: GreedyAgreement
    tasks: TaskScore


class ParityReport(_Frozen):
    """The whole report.

    Attributes:
        status: ``passed``; ``accepted`` if a user accepted exceeded thresholds; ``not_measured``
            if a user accepted that there is no reference.
        accepted_reason: the reason that the user gave.
        reference: the reference's versions and the digest of the proof set.
        precision_hint, kv_cache_precision: the settings of the measurement.
        failures: one sentence for each exceeded threshold.
    """

    schema_version: Literal[1] = 1
    status: Literal["passed", "accepted", "not_measured"]
    accepted_reason: str | None
    runtime: str
    weight_format: str
    precision_hint: str
    kv_cache_precision: str
    measured_at: datetime
    cpu_model: str
    reference: dict[str, str]
    thresholds: ParityThresholds
    measurements: Measurements | None
    failures: tuple[str, ...]

    @property
    def summary(self) -> Quality:
        """The summary of the proof for the manifest."""
        found = self.measurements
        if found is None:
            return Quality(status=self.status, accepted_reason=self.accepted_reason)
        return Quality(
            status=self.status,
            accepted_reason=self.accepted_reason,
            perplexity_ratio=found.perplexity.ratio if found.perplexity else None,
            mean_kl_nats=found.kl_divergence.mean_nats,
            equal_tokens_share=found.greedy.equal_tokens_share,
            tasks_solved=found.tasks.engine_solved,
            tasks_total=found.tasks.total,
        )


def write_report(path: Path, report: BaseModel) -> None:
    """Write a report of a bundle as indented JSON."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(report.model_dump_json(indent=2), encoding="utf-8")
