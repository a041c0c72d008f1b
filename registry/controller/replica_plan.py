"""Plans a replica's next step: a pure comparison of its target with its actual state."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from enginehouse.names import POSTPROCESSING, PREPROCESSING, TENSORRT_LLM, part

_READY = "READY"
_PARTS = (PREPROCESSING, TENSORRT_LLM, POSTPROCESSING)


@dataclass(frozen=True, slots=True)
class ReplicaTarget:
    """What every replica has to hold of one model.

    Attributes:
        versions: versions that have to be loaded.
        champion: version that the ensemble `<model>` is pinned to.
        challenger: version that `<model>.challenger` is pinned to; None if there is none.
        embedding: whether it is an embedding model, which is one Triton model without an ensemble.
    """

    versions: frozenset[int]
    champion: int | None
    challenger: int | None = None
    embedding: bool = False


@dataclass(frozen=True, slots=True)
class Actual:
    """What one replica holds of one model.

    Attributes:
        parts: Triton model → versions of it that are ready.
        champion, challenger: versions that the ensembles are pinned to; None if not loaded.
        dead: parts, as ``<triton model>/<version>``, whose process is gone or does not answer.
        lost: additional names that are not loaded although the model's own name is.
        dead_names: additional names, as ``<triton model>/<version>``, whose process is gone.
    """

    parts: Mapping[str, frozenset[int]] = field(default_factory=dict)
    champion: int | None = None
    challenger: int | None = None
    dead: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()
    dead_names: frozenset[str] = frozenset()

    def ready(self, model: str, *, embedding: bool) -> frozenset[int]:
        """Versions of which every part is ready and alive."""
        names = [model] if embedding else [part(model, suffix) for suffix in _PARTS]
        found = [
            frozenset(v for v in self.parts.get(name, ()) if f"{name}/{v}" not in self.dead)
            for name in names
        ]
        return frozenset.intersection(*found)

    def present(self, model: str, *, embedding: bool) -> frozenset[int]:
        """Versions of which any part is loaded."""
        names = [model] if embedding else [part(model, suffix) for suffix in _PARTS]
        return frozenset().union(*(self.parts.get(name, frozenset()) for name in names))


class StepKind(StrEnum):
    """Kinds of steps on a replica."""

    #: Write the target's files and load the model's alias.
    LOAD = "load"
    #: Load, or unload, the ensemble `<model>.challenger`.
    POINT_CHALLENGER = "point_challenger"
    DROP_CHALLENGER = "drop_challenger"
    #: Restore a dead part.
    REPAIR = "repair"
    #: Unload an additional name whose process is gone; it is then loaded again as a lost one.
    DROP_NAME = "drop_name"
    #: Unload everything of a model that has no target.
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class ReplicaStep:
    """One step on one replica; `why` is for the log."""

    kind: StepKind
    model: str
    why: str
    part: str = ""


def challenger_alias(model: str) -> str:
    """Triton's name of the ensemble that is pinned to the challenger."""
    return part(model, "challenger")


def next_step(model: str, wanted: ReplicaTarget, actual: Actual) -> ReplicaStep | None:
    """The next step towards `wanted`, or None if it is reached.

    Order: repairs, then freeing an alias from a version that is to be unloaded, then loading.
    """
    if not wanted.versions:
        present = actual.present(model, embedding=wanted.embedding)
        return ReplicaStep(StepKind.REMOVE, model, "no version is wanted") if present else None
    return (
        _mend(model, wanted, actual)
        or _load(model, wanted, actual)
        or _point(model, wanted, actual)
    )


def _mend(model: str, wanted: ReplicaTarget, actual: Actual) -> ReplicaStep | None:
    dead = sorted(name for name in actual.dead if int(name.rpartition("/")[2]) in wanted.versions)
    if dead:
        return ReplicaStep(StepKind.REPAIR, model, f"{dead[0]} is dead", dead[0])
    if actual.dead_names:
        name = min(actual.dead_names)
        return ReplicaStep(StepKind.DROP_NAME, model, f"{name} is dead", name)
    if actual.challenger not in (None, wanted.challenger) and (
        wanted.challenger is None or actual.challenger not in wanted.versions
    ):
        return ReplicaStep(StepKind.DROP_CHALLENGER, model, "no challenger any more")
    return None


def _load(model: str, wanted: ReplicaTarget, actual: Actual) -> ReplicaStep | None:
    ready = actual.ready(model, embedding=wanted.embedding)
    missing = sorted(wanted.versions - ready)
    if missing:
        return ReplicaStep(StepKind.LOAD, model, f"version {_list(missing)} is not loaded")
    if not wanted.embedding and actual.champion != wanted.champion:
        return ReplicaStep(
            StepKind.LOAD, model, f"the alias is to point to version {wanted.champion}"
        )
    if actual.lost and wanted.champion is not None:
        return ReplicaStep(StepKind.LOAD, model, f"{min(actual.lost)} is not loaded")
    extra = sorted(actual.present(model, embedding=wanted.embedding) - wanted.versions)
    if extra:
        return ReplicaStep(StepKind.LOAD, model, f"version {_list(extra)} is not wanted any more")
    return None


def _point(model: str, wanted: ReplicaTarget, actual: Actual) -> ReplicaStep | None:
    if wanted.challenger is not None and actual.challenger != wanted.challenger:
        why = f"the challenger is version {wanted.challenger}"
        return ReplicaStep(StepKind.POINT_CHALLENGER, model, why)
    return None


def actual_of(
    model: str,
    index: Sequence[tuple[str, str, str]],
    pins: Mapping[str, int],
    dead: frozenset[str],
    beside: Collection[str] = (),
) -> Actual:
    """Derive the actual state from a replica's answers.

    Args:
        index: Triton's repository index: name, version, state.
        pins: ensemble → version that it is pinned to.
        dead: parts that do not answer, ``<triton model>/<version>``.
        beside: names that have to be loaded in addition to the parts.
    """
    names = {model, *(part(model, suffix) for suffix in _PARTS)}
    parts: dict[str, set[int]] = {}
    for name, version, state in index:
        if name in names and state == _READY:
            parts.setdefault(name, set()).add(int(version))
    there = {name for name, _, state in index if state == _READY}
    return Actual(
        parts={name: frozenset(versions) for name, versions in parts.items()},
        champion=pins.get(model),
        challenger=pins.get(challenger_alias(model)),
        dead=frozenset(d for d in dead if d.rpartition("/")[0] in names),
        lost=frozenset(beside) - there if model in there else frozenset(),
        dead_names=frozenset(d for d in dead if d.rpartition("/")[0] in set(beside) - names),
    )


def _list(versions: Sequence[int]) -> str:
    return ", ".join(map(str, versions))
