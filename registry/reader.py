"""Read access to the MLflow registry: models, versions, aliases, artefacts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from enginehouse.registry import records
from enginehouse.registry.connection import connect, every_page, registry_errors
from enginehouse.registry.environments import Environment
from enginehouse.registry.records import CHAMPION, ModelSnapshot, VersionRecord

from enginehouse.errors import NotRegisteredError
from enginehouse.settings import Settings
from enginehouse.urls import shown


class RegistryReader:
    """Reads the registry of one environment."""

    def __init__(self, settings: Settings) -> None:
        self._uri = settings.registry_uri
        self._embedded_dir = None if settings.mlflow_tracking_uri else settings.home / "registry"
        self._environment = Environment(settings.environment)

    @cached_property
    def _client(self) -> Any:
        """MLflow's client; created on first use, because its import takes over a second."""
        return connect(self._uri, self._embedded_dir)

    @property
    def environment(self) -> Environment:
        """The environment of these models."""
        return self._environment

    def registered_name(self, name: str) -> str:
        """Name of a served model in MLflow, for use with `session`."""
        return self._environment.registered(name)

    @property
    def location(self) -> str:
        """Address of MLflow, without credentials."""
        return shown(self._uri)

    def models(self) -> list[str]:
        """Names of all registered models of this environment.

        Raises:
            RegistryError: if MLflow does not answer.
        """
        return sorted(self.snapshot())

    def snapshot(self) -> dict[str, ModelSnapshot]:
        """Aliases and tags of all registered models of this environment, in one search.

        Raises:
            RegistryError: if MLflow does not answer.
        """
        found: dict[str, ModelSnapshot] = {}
        with registry_errors(self._uri):
            for model in every_page(self._client.search_registered_models):
                name = self._environment.served(model.name)
                if name is not None:
                    found[name] = ModelSnapshot(name, _aliases_of(model), dict(model.tags))
        return found

    def versions(self, name: str) -> list[VersionRecord]:
        """All versions of a model, newest first.

        Raises:
            NotRegisteredError: if there is no such model.
            RegistryError: if MLflow does not answer.
        """
        aliases = self._aliases(name)
        with registry_errors(self._uri):
            search = self._client.search_model_versions
            found = list(every_page(search, f"name='{self.registered_name(name)}'"))
        result = [_record(name, version, aliases) for version in found]
        return sorted(result, key=lambda record: record.version, reverse=True)

    def version(self, name: str, version: int) -> VersionRecord:
        """One version.

        Raises:
            NotRegisteredError: if it does not exist; lists the existing versions.
            RegistryError: if MLflow does not answer.
        """
        known = self.versions(name)
        for record in known:
            if record.version == version:
                return record
        numbers = ", ".join(str(r.version) for r in reversed(known)) or "none yet"
        raise NotRegisteredError(f"{name} has no version {version}; its versions: {numbers}")

    def holding(self, manifest_digest: str) -> VersionRecord | None:
        """A version with this manifest in any model and environment; has the name of MLflow.

        Raises:
            RegistryError: if MLflow does not answer.
        """
        wanted = f"tags.`{records.TAG_MANIFEST}` = '{manifest_digest}'"
        with registry_errors(self._uri):
            found = next(every_page(self._client.search_model_versions, wanted), None)
        return None if found is None else _record(found.name, found, {})

    def champion(self, name: str) -> int | None:
        """Version number of the alias `champion`, or None.

        Raises:
            NotRegisteredError: if there is no such model.
            RegistryError: if MLflow does not answer.
        """
        return self._aliases(name).get(CHAMPION)

    def download(self, record: VersionRecord, target: Path) -> Path:
        """Copy a version's bundle below `target`; returns the directory of the bundle.

        Raises:
            RegistryError: if the files cannot be downloaded.
        """
        self._client  # noqa: B018 - sets MLflow's limits before the import below
        from mlflow.artifacts import download_artifacts

        with registry_errors(self._uri):
            return Path(
                download_artifacts(
                    artifact_uri=record.bundle, dst_path=str(target), tracking_uri=self._uri
                )
            )

    @contextmanager
    def session(self) -> Iterator[Any]:
        """MLflow's client, for modules that manage their own tags and runs.

        Raises:
            RegistryError: inside the block, for every error of MLflow or its database.
        """
        with registry_errors(self._uri):
            yield self._client

    def _aliases(self, name: str) -> dict[str, int]:
        with registry_errors(self._uri, name):
            return _aliases_of(self._client.get_registered_model(self.registered_name(name)))


def _aliases_of(model: Any) -> dict[str, int]:
    """Aliases with integer versions; an MLflow server returns them as text."""
    return {alias: int(version) for alias, version in model.aliases.items()}


def _record(name: str, version: Any, aliases: dict[str, int]) -> VersionRecord:
    number = int(version.version)
    return VersionRecord(
        name=name,
        version=number,
        aliases=tuple(sorted(alias for alias, v in aliases.items() if v == number)),
        bundle=version.source,
        created=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC),
        tags=dict(version.tags),
        run_id=version.run_id or None,
    )
