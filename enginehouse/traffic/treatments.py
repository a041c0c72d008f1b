"""A/B experiments: which requests are on which arm.

Assignment is a hash of the experiment's salt and the unit, so it is the same in every adapter and
after every restart. Two hashes are used: one says whether the unit takes part, the other on which
arm, so that the share can grow and nobody changes arms.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from enginehouse.traffic.assignment import BUCKETS, assign, bucket
from enginehouse.traffic.exposures import hashed_unit
from enginehouse.traffic.routes import ExperimentArm, ExperimentRoute

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
