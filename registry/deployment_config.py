"""The `config` of MLflow deployments: strings from the command line, or values from Python."""

from __future__ import annotations

import getpass
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from enginehouse.errors import SpecError

_KEYS = {"strategy", "spec", "reason", "override", "actor", "wait_s"}
_WAIT_S = 600.0


@dataclass(frozen=True, slots=True)
class DeploymentConfig:
    """How a version is released.

    Attributes:
        strategy: ``rollout`` shifts traffic in steps; ``promote`` all at once, after the gates.
        spec: the rollout's specification; None uses the controller's default.
        overrides: gate → reason for overriding it.
        wait_s: how long to wait for the version to serve; 0 does not wait.
    """

    actor: str
    strategy: Literal["rollout", "promote"] = "rollout"
    spec: Mapping[str, Any] | None = None
    reason: str = "mlflow deployments"
    overrides: Mapping[str, str] = field(default_factory=dict)
    wait_s: float = _WAIT_S


def deployment_config(raw: Mapping[str, Any] | None) -> DeploymentConfig:
    """Validate a config.

    Raises:
        SpecError: names the key.
    """
    given = dict(raw or {})
    if unknown := sorted(given.keys() - _KEYS):
        raise SpecError(f"config {unknown[0]!r} is not known; there are {', '.join(sorted(_KEYS))}")
    reason = str(given.get("reason") or "")
    gates = [gate.strip() for gate in str(given.get("override") or "").split(",") if gate.strip()]
    if gates and not reason:
        raise SpecError("config 'override' needs 'reason': it is kept with your name")
    strategy = given.get("strategy", "rollout")
    if strategy not in {"rollout", "promote"}:
        raise SpecError(f"config 'strategy': {strategy!r} is neither rollout nor promote")
    return DeploymentConfig(
        actor=str(given.get("actor") or getpass.getuser()),
        strategy=strategy,
        spec=_spec(given.get("spec")),
        reason=reason or "mlflow deployments",
        overrides=dict.fromkeys(gates, reason),
        wait_s=_seconds(given.get("wait_s", _WAIT_S)),
    )


def _seconds(raw: Any) -> float:
    try:
        value = float(raw)
    except (TypeError, ValueError):
        value = -1.0
    if not 0 <= value < float("inf"):
        raise SpecError(f"config 'wait_s': {raw!r} is not a number of seconds")
    return value


def _spec(raw: Any) -> Mapping[str, Any] | None:
    """Return a mapping unchanged; read a string as the path of a YAML file."""
    if raw is None or isinstance(raw, Mapping):
        return raw
    try:
        found = yaml.safe_load(Path(str(raw)).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise SpecError(f"config 'spec': {raw} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise SpecError(f"config 'spec': {raw} is not a mapping")
    return found
