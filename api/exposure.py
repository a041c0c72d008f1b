"""A/B experiments in the adapter: who is on which arm, what that changes, and what is written.

Assignment is a hash of the experiment's salt and the unit, so it is the same in every adapter and
after every restart. Two hashes are used: one says whether the unit takes part, the other on which
arm, so that the share can grow and nobody changes arms.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from enginehouse.gateway.journal.line_buffer import LineBuffer
from pydantic import BaseModel

from enginehouse.traffic import ExperimentArm, ExperimentRoute, RequestSample, assign, bucket
from enginehouse.traffic.assignment import BUCKETS
from enginehouse.traffic.exposures import Exposure, hashed_unit

_Body = TypeVar("_Body", bound=BaseModel)
_EXPOSURES, _SAMPLES = "exposures", "samples-experiments"

Messages = Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Treatment:
    """The arm that a request is on.

    Attributes:
        unit: hashed; see `Exposure`.
    """

    experiment: str
    arm: ExperimentArm
    unit: str


def treatment_of(
    experiments: Sequence[ExperimentRoute],
    unit_of: Callable[[str], str | None],
    messages: Messages,
    ready: Collection[int],
) -> Treatment | None:
    """The treatment of a request; None if it takes part in no experiment.

    The first experiment that takes the unit has the request for itself. One that needs a version
    which is not ready takes nobody: with one arm missing, the others would have nothing to be
    compared with. One that tries prompts takes only conversations without a system message, as
    no arm could change the others.

    Args:
        unit_of: kind of unit (``user``, ``conversation``) → the request's own, or None.
        messages: of the request; empty for an endpoint without messages.
        ready: versions that can answer now.
    """
    for experiment in experiments:
        if not _applies(experiment, messages, ready):
            continue
        unit = uuid.uuid4().hex if experiment.unit == "request" else unit_of(experiment.unit)
        if unit is None or not takes_part(experiment, unit):
            continue
        arm = arm_of(experiment, unit)
        return Treatment(experiment.name, arm, hashed_unit(experiment.salt, unit))
    return None


def takes_part(experiment: ExperimentRoute, unit: str) -> bool:
    """Whether a unit is in the experiment's share."""
    return bucket(f"{experiment.salt}:in", unit) < experiment.share * BUCKETS


def arm_of(experiment: ExperimentRoute, unit: str) -> ExperimentArm:
    """A unit's arm."""
    place = bucket(experiment.salt, unit) / BUCKETS
    return assign([(arm, arm.weight) for arm in experiment.arms], place)


def _applies(experiment: ExperimentRoute, messages: Messages, ready: Collection[int]) -> bool:
    if any(arm.version is not None and arm.version not in ready for arm in experiment.arms):
        return False
    if any(arm.system_prompt is not None for arm in experiment.arms):
        return bool(messages) and all(message["role"] != "system" for message in messages)
    return True


def treated(body: _Body, treatment: Treatment | None) -> _Body:
    """The request with the arm's sampling for every field that the caller left out."""
    if treatment is None:
        return body
    left_out = {
        name: value
        for name, value in treatment.arm.sampling.items()
        if getattr(body, name, None) is None
    }
    # OpenAI's newer name for the same limit.
    if getattr(body, "max_completion_tokens", None) is not None:
        left_out.pop("max_tokens", None)
    return body.model_copy(update=left_out) if left_out else body


def with_prompt(
    messages: list[dict[str, str]], treatment: Treatment | None
) -> list[dict[str, str]]:
    """The conversation behind the arm's system prompt."""
    if treatment is None or treatment.arm.system_prompt is None:
        return messages
    return [{"role": "system", "content": treatment.arm.system_prompt}, *messages]


class ExposureLog:
    """Writes exposures and the samples of exposed requests; nobody waits for it."""

    def __init__(self, lines: LineBuffer) -> None:
        self._lines = lines

    def exposed(self, treatment: Treatment, request_id: str, model: str, version: int) -> None:
        """A request is about to be answered on an arm."""
        line = Exposure(
            at=time.time(),
            experiment=treatment.experiment,
            arm=treatment.arm.name,
            unit=treatment.unit,
            request_id=request_id,
            model=model,
            version=version,
        )
        self._lines.add(_EXPOSURES, line.model_dump_json())

    def ended(self, sample: RequestSample) -> None:
        """An exposed request has ended."""
        self._lines.add(_SAMPLES, sample.model_dump_json())
