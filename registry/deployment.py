"""Deployments: releases a version and waits until it serves. A deployment is a served model."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlparse

from enginehouse.client.controller import ControllerClient
from enginehouse.registry.deployment_config import DeploymentConfig
from enginehouse.registry.labels import resolve
from enginehouse.registry.store import Registry

from enginehouse.errors import ControllerError, RegistryError

_POLL_S = 0.5


def release(
    controller: ControllerClient,
    registry: Registry,
    name: str,
    model_uri: str,
    config: DeploymentConfig,
) -> dict[str, Any]:
    """Release a version, and wait as long as the config says.

    Raises:
        RegistryError: if there is no such version.
        ControllerError: if the release is rejected or aborted, or does not finish in time.
    """
    version = version_of(registry, name, model_uri)
    who, why, overrides = config.actor, config.reason, config.overrides
    if config.strategy == "promote":
        controller.promote(name, version=version, actor=who, reason=why, overrides=overrides)
    else:
        controller.rollout(
            name, version, actor=who, reason=why, overrides=overrides, spec=config.spec
        )
    return named(_until_served(controller, name, version, config.wait_s))


def _until_served(
    controller: ControllerClient, name: str, version: int, wait_s: float
) -> dict[str, Any]:
    until = time.monotonic() + wait_s
    while True:
        found = controller.model(name)
        rollout = found.get("rollout") or {}
        serves = found.get("champion") == version and version in found.get("ready", ())
        if serves or wait_s == 0:
            return found
        if rollout.get("challenger") == version and rollout.get("phase") == "aborted":
            raise ControllerError(
                f"{name} version {version} was not released: {rollout.get('abort_reason')}"
            )
        if time.monotonic() > until:
            raise ControllerError(
                f"{name} version {version} does not serve all traffic after {wait_s:g} s and its "
                f"release continues: {found.get('problem') or rollout.get('phase') or 'loading'}; "
                f"see `enginehouse rollout status {name}`"
            )
        time.sleep(min(_POLL_S, wait_s))


def served(controller: ControllerClient, name: str) -> dict[str, Any] | None:
    """A model's release state if it is served, otherwise None.

    Raises:
        ControllerError: if the controller does not answer.
    """
    for model in controller.models():
        if model.get("model") == name and model.get("champion") is not None:
            return named(model)
    return None


def named(model: Mapping[str, Any]) -> dict[str, Any]:
    """Add the key `name`, which MLflow requires in every deployment."""
    return {"name": model["model"], **model}


def version_of(registry: Registry, name: str, model_uri: str) -> int:
    """Resolve ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS``.

    Raises:
        RegistryError: if the URI is invalid, names another model, or the version does not exist.
    """
    parsed = urlparse(model_uri)
    path = parsed.path.strip("/")
    model, _, version = path.partition("@" if "@" in path else "/")
    if parsed.scheme != "models" or not model or not version or "/" in version:
        raise RegistryError(f"model URI {model_uri!r}: write models:/NAME/VERSION")
    if model not in {name, registry.registered_name(name)}:
        raise RegistryError(
            f"a deployment has its model's name: {model_uri} cannot be deployed as {name!r}"
        )
    return resolve(registry, name, version).version
