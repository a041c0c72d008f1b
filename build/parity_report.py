"""`reports/parity.json`: the proof that a bundle carries."""

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
    """Mean KL(reference ‖ engine) of next-token distributions; `unavailable` says why none."""

    mean_nats: float | None
    positions: int
    unavailable: str | None = None


class GreedyAgreement(_Frozen):
    """Greedy continuations against the reference's.

    Attributes:
        first_divergence: for each prompt the index of the first other token, None if all equal.
        equal_tokens_share: tokens before the first divergence, of all.
    """

    prompts: int
    identical: int
    first_divergence: tuple[int | None, ...]
    equal_tokens_share: float


class TaskScore(_Frozen):
    """Tasks with exact answers; `lost` are those that only the reference solves."""

    total: int
    reference_solved: int
    engine_solved: int
    lost: tuple[str, ...]


class Measurements(_Frozen):
    """What a proof measured."""

    tokenizer_differs_on: int
    perplexity: Perplexity | None
    kl_divergence: KlDivergence
    greedy: GreedyAgreement
    tasks: TaskScore


class ParityReport(_Frozen):
    """The whole report.

    Attributes:
        status: ``passed``; ``accepted`` past its thresholds by a person's word; ``not_measured``
            by a person's word, since there was no reference.
        accepted_reason: that word.
        reference: what it was compared with: versions, digest of the proof set.
        precision_hint, kv_cache_precision: the settings under which it was measured.
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
        """The proof in short, as the manifest has it."""
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
    """Write a report of a bundle, indented for readers."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(report.model_dump_json(indent=2), encoding="utf-8")
