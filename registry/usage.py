"""Why a version is in use, according to the registry and the routes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from enginehouse.registry.records import ModelSnapshot

from enginehouse.errors import RegistryError
from enginehouse.traffic.routes import routes_path

#: Tags of the registered model, written by the release controller.
_TAG_RELEASE = "enginehouse.release"
_TAG_ROUTES = "enginehouse.routes"
_AT_REST = {"idle", "succeeded", "aborted"}


@dataclass(frozen=True, slots=True)
class Uses:
    """Versions of one model that are in use, with the reasons."""

    reasons: Mapping[int, tuple[str, ...]]

    def of(self, version: int) -> tuple[str, ...]:
        """Why this version is in use; empty if it is not."""
        return self.reasons.get(version, ())


def uses(model: ModelSnapshot, routes_dir: Path | None) -> Uses:
    """Find all uses of a model's versions.

    A missing tag or file means no uses: a model without a controller has neither.

    Args:
        routes_dir: directory of this host's routes; None if it has none for this model.

    Raises:
        RegistryError: if a tag or file is invalid, so that the loaded versions are unknown.
    """
    found: dict[int, list[str]] = {}
    for version, reason in _all(model, routes_dir):
        reasons = found.setdefault(version, [])
        if reason not in reasons:
            reasons.append(reason)
    return Uses({version: tuple(reasons) for version, reasons in found.items()})


def _all(model: ModelSnapshot, routes_dir: Path | None) -> Iterator[tuple[int, str]]:
    for alias, version in sorted(model.aliases.items()):
        yield version, f"it has the alias {alias!r}"
    release = _object(f"tag {_TAG_RELEASE} of {model.name}", model.tags.get(_TAG_RELEASE))
    yield from _in_rollout(release.get("rollout"))
    # After a user has moved the alias, the old champion still serves until it is drained.
    yield from ((version, "it serves") for version in _integers([release.get("champion")]))
    yield from ((version, "it is loaded") for version in _integers(release.get("loaded")))
    yield from ((version, "it is loaded") for version in _kept(release.get("kept")))
    yield from _routed(_object(f"tag {_TAG_ROUTES} of {model.name}", model.tags.get(_TAG_ROUTES)))
    if routes_dir is not None:
        path = routes_path(routes_dir, model.name)
        yield from _routed(_object(str(path), path.read_text() if path.is_file() else None))


def _in_rollout(rollout: Any) -> Iterator[tuple[int, str]]:
    if not isinstance(rollout, dict) or str(rollout.get("phase", "idle")).lower() in _AT_REST:
        return
    for version in _integers([rollout.get("champion"), rollout.get("challenger")]):
        yield version, "it is in a rollout"


def _kept(kept: Any) -> list[int]:
    """Versions that stay loaded; JSON turns the integer keys into text."""
    return [int(key) for key in kept if str(key).isdecimal()] if isinstance(kept, dict) else []


def _routed(routes: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    arms = [arm.get("version") for arm in _objects(routes.get("arms"))]
    shadow = routes.get("shadow")
    if isinstance(shadow, dict):
        arms.append(shadow.get("version"))
    yield from ((v, "it is loaded") for v in _integers(routes.get("loaded")))
    yield from (
        (v, "it has traffic")
        for v in _integers([routes.get("champion"), routes.get("challenger"), *arms])
    )
    for experiment in _objects(routes.get("experiments")):
        tried = [arm.get("version") for arm in _objects(experiment.get("arms"))]
        yield from ((v, "it is in an experiment") for v in _integers(tried))


def _object(where: str, raw: str | None) -> dict[str, Any]:
    if raw is None:
        return {}
    try:
        value = json.loads(raw)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise RegistryError(
            f"{where} is not a JSON object, so the loaded versions are unknown: correct it"
        )
    return value


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _integers(value: Any) -> list[int]:
    if not isinstance(value, list):
        return []
    return [item for item in value if isinstance(item, int) and not isinstance(item, bool)]
