"""Retires versions, so that they cannot be released again, and deletes them."""

from __future__ import annotations

import time
from pathlib import Path

from enginehouse.registry.records import TAG_RETIRED, VersionRecord
from enginehouse.registry.store import Registry
from enginehouse.registry.usage import uses

from enginehouse.errors import InUseError, NotRegisteredError

#: Tag of a run that logged a bundle: when its version was deleted, in seconds since the epoch.
#: Garbage collection waits from this time.
TAG_RELEASED_AT = "enginehouse.released_at"


class Retirement:
    """Retires and deletes versions of one registry."""

    def __init__(self, registry: Registry, routes_dir: Path | None) -> None:
        """`routes_dir`: where this host's controller writes routes, if it has one."""
        self._registry = registry
        self._routes_dir = routes_dir

    def retire(self, name: str, version: int, reason: str) -> VersionRecord:
        """Mark a version so that it can neither be promoted nor released.

        Raises:
            NotRegisteredError: if there is no such version.
            InUseError: while it has an alias, is loaded, or is in a rollout or an experiment.
            RegistryError: if the registry does not answer.
        """
        self._refuse_in_use(name, version, "retired")
        self._registry.set_version_tag(name, version, TAG_RETIRED, reason)
        return self._registry.version(name, version)

    def reinstate(self, name: str, version: int) -> VersionRecord:
        """Undo a retirement; does nothing if the version is not retired.

        Raises:
            NotRegisteredError: if there is no such version.
            RegistryError: if the registry does not answer.
        """
        self._registry.delete_version_tag(name, version, TAG_RETIRED)
        return self._registry.version(name, version)

    def delete(self, name: str, version: int) -> None:
        """Delete a version; its artefacts are kept until garbage collection.

        Raises:
            NotRegisteredError: if there is no such version.
            InUseError: while it has an alias, is loaded, or is in a rollout or an experiment.
            RegistryError: if the registry does not answer.
        """
        record = self._registry.version(name, version)
        # MLflow deletes a version's aliases silently, so check directly before deleting.
        self._refuse_in_use(name, version, "deleted")
        with self._registry.session() as client:
            if record.run_id is not None:
                client.set_tag(record.run_id, TAG_RELEASED_AT, f"{time.time():.0f}")
            client.delete_model_version(self._registry.registered_name(name), str(version))

    def _refuse_in_use(self, name: str, version: int, verb: str) -> None:
        self._registry.version(name, version)
        model = self._registry.snapshot().get(name)
        if model is None:
            raise NotRegisteredError(f"no registered model {name!r}")
        reasons = uses(model, self._routes_dir).of(version)
        if reasons:
            raise InUseError(
                f"{name} version {version} cannot be {verb}: {', '.join(reasons)}; release "
                "another version and take its aliases away first"
            )
