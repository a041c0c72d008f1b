"""Reading and writing the MLflow registry: embedded SQLite, or a server by one setting."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from enginehouse.registry import records
from enginehouse.registry.records import CHAMPION, PREVIOUS, VersionRecord

from enginehouse.bundle import Bundle
from enginehouse.digests import sha256_file
from enginehouse.errors import BundleError, NotRegisteredError, RegistryError
from enginehouse.manifest import MANIFEST_NAME, EngineManifest
from enginehouse.names import check_model_name
from enginehouse.settings import Settings

_ARTIFACT_PATH = "bundle"
_CREDENTIALS = re.compile(r"://[^/@\s]+@")
# A dead server would otherwise be asked for minutes.
_CLIENT_LIMITS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


class Registry:
    """Versions and aliases in MLflow."""

    def __init__(self, settings: Settings) -> None:
        self._uri = settings.registry_uri
        self._embedded_dir = None if settings.mlflow_tracking_uri else settings.home / "registry"

    @cached_property
    def _client(self) -> Any:
        """MLflow's client; its import takes over a second, so it waits for the first use."""
        for key, value in _CLIENT_LIMITS.items():
            os.environ.setdefault(key, value)
        if self._embedded_dir is not None:
            self._embedded_dir.mkdir(parents=True, exist_ok=True)
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        with _registry_errors(self._uri):
            return MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)

    def register(self, bundle: Bundle, name: str) -> VersionRecord:
        """Copy a bundle into the registry as the next version of `name`.

        The version is created last, once every file has arrived, since MLflow calls a version
        ready whatever its source holds.

        Raises:
            NameRefusedError, BundleError: before anything is written.
            RegistryError: if MLflow refuses or does not answer.
        """
        check_model_name(name)
        bundle.verify()
        if bundle.manifest.quality is None:
            raise BundleError(
                f"{bundle.path} carries no proof of its quality: it was built by an older "
                "version; build it again"
            )
        with _registry_errors(self._uri):
            self._ensure_model(name)
            self._check_kind(bundle, name)
            run = self._client.create_run(
                self._experiment(name), run_name=f"register {name}", tags=_lineage_tags(bundle)
            )
            run_id = run.info.run_id
            try:
                _log_parameters(self._client, run_id, bundle.manifest)
                self._client.log_artifacts(run_id, str(bundle.path), _ARTIFACT_PATH)
                created = self._client.create_model_version(
                    name,
                    source=f"{run.info.artifact_uri}/{_ARTIFACT_PATH}",
                    run_id=run_id,
                    tags=_lineage_tags(bundle),
                    description=bundle.card,
                )
            except BaseException:
                self._client.set_terminated(run_id, "FAILED")
                raise
            self._client.set_terminated(run_id, "FINISHED")
            return self.version(name, int(created.version))

    def models(self) -> list[str]:
        """Names of all registered models that we could serve.

        Raises:
            RegistryError: if MLflow does not answer.
        """
        with _registry_errors(self._uri):
            return sorted(model.name for model in self._client.search_registered_models())

    def versions(self, name: str) -> list[VersionRecord]:
        """All versions of a model, newest first.

        Raises:
            NotRegisteredError: if there is no such model.
            RegistryError: if MLflow does not answer.
        """
        aliases = self._aliases(name)
        with _registry_errors(self._uri):
            found = self._client.search_model_versions(f"name='{name}'", max_results=1000)
        result = [_record(version, aliases) for version in found]
        return sorted(result, key=lambda record: record.version, reverse=True)

    def version(self, name: str, version: int) -> VersionRecord:
        """One version.

        Raises:
            NotRegisteredError: with the versions that there are.
            RegistryError: if MLflow does not answer.
        """
        known = self.versions(name)
        for record in known:
            if record.version == version:
                return record
        numbers = ", ".join(str(r.version) for r in reversed(known)) or "none yet"
        raise NotRegisteredError(f"{name} has no version {version}; its versions: {numbers}")

    def champion(self, name: str) -> int | None:
        """Version number behind the alias `champion`, or None.

        Raises:
            NotRegisteredError: if there is no such model.
            RegistryError: if MLflow does not answer.
        """
        return self._aliases(name).get(CHAMPION)

    def promote(self, name: str, version: int) -> int | None:
        """Make a version the champion; the champion so far becomes `previous`.

        Returns:
            The champion so far, or None.

        Raises:
            NotRegisteredError: if there is no such model or version.
            RegistryError: if MLflow does not answer.
        """
        self.version(name, version)
        before = self.champion(name)
        with _registry_errors(self._uri):
            if before is not None and before != version:
                self._client.set_registered_model_alias(name, PREVIOUS, str(before))
            self._client.set_registered_model_alias(name, CHAMPION, str(version))
        return before

    def download(self, record: VersionRecord, target: Path) -> Path:
        """Copy a version's bundle below `target`; return the directory that holds it.

        Raises:
            RegistryError: if the files cannot be had.
        """
        self._client  # noqa: B018 - sets MLflow's limits before the import below
        from mlflow.artifacts import download_artifacts

        with _registry_errors(self._uri):
            return Path(
                download_artifacts(
                    artifact_uri=record.bundle, dst_path=str(target), tracking_uri=self._uri
                )
            )

    def _aliases(self, name: str) -> dict[str, int]:
        with _registry_errors(self._uri, name):
            model = self._client.get_registered_model(name)
        return {alias: int(version) for alias, version in model.aliases.items()}

    def _ensure_model(self, name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _check_kind(self, bundle: Bundle, name: str) -> None:
        """One name, one kind: its clients speak either to a text generator or to an embedding."""
        kind = bundle.manifest.kind
        for record in self.versions(name):
            # A version without the tag is older than embedding models.
            registered = record.tags.get(records.TAG_KIND, "generator")
            if registered != kind:
                raise BundleError(
                    f"{bundle.path} is of kind {kind!r}, and version {record.version} of {name} "
                    f"is of kind {registered!r}: register it under a name of its own"
                )

    def _experiment(self, name: str) -> str:
        title = f"enginehouse/{name}"
        existing = self._client.get_experiment_by_name(title)
        if existing is not None:
            return str(existing.experiment_id)
        # A server decides itself where artefacts lie; embedded, MLflow would take the cwd.
        location = (
            None if self._embedded_dir is None else (self._embedded_dir / "artifacts").as_uri()
        )
        return str(self._client.create_experiment(title, artifact_location=location))


@contextmanager
def _registry_errors(uri: str, name: str | None = None) -> Iterator[None]:
    """MLflow's and the database's exceptions → ours."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except MlflowException as error:
        if name is not None and error.error_code == "RESOURCE_DOES_NOT_EXIST":
            raise NotRegisteredError(
                f"no registered model {name!r}; register one with "
                f"`enginehouse register BUNDLE --name {name}`"
            ) from error
        raise RegistryError(f"the registry at {_redact(uri)}: {_redact(error.message)}") from None
    except (SQLAlchemyError, OSError) as error:
        raise RegistryError(
            f"the registry at {_redact(uri)} cannot be used: {_redact(str(error))}"
        ) from None


def _redact(text: str) -> str:
    """The text with user and password taken out of every URI in it."""
    return _CREDENTIALS.sub("://", text)


def _record(version: Any, aliases: dict[str, int]) -> VersionRecord:
    number = int(version.version)
    return VersionRecord(
        name=version.name,
        version=number,
        aliases=tuple(sorted(alias for alias, v in aliases.items() if v == number)),
        bundle=version.source,
        created=datetime.fromtimestamp(version.creation_timestamp / 1000, UTC),
        tags=dict(version.tags),
    )


def _lineage_tags(bundle: Bundle) -> dict[str, str]:
    manifest = bundle.manifest
    return {
        records.TAG_DIGEST: manifest.checkpoint.sha256,
        records.TAG_MANIFEST: sha256_file(bundle.path / MANIFEST_NAME),
        records.TAG_KIND: manifest.kind,
        records.TAG_RUNTIME: f"{manifest.runtime} {manifest.runtime_version}",
        records.TAG_FORMAT: manifest.weight_format,
        records.TAG_QUALITY: manifest.quality.status if manifest.quality else "not_measured",
        records.TAG_SIZE: str(manifest.size_bytes),
    }


def _log_parameters(client: Any, run_id: str, manifest: EngineManifest) -> None:
    for key, value in manifest.build_arguments.items():
        client.log_param(run_id, f"build.{key}", value)
    for key, value in manifest.engine_settings.model_dump().items():
        client.log_param(run_id, f"engine.{key}", value)
