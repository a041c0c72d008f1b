"""Reads single files of registered bundles without downloading the engine."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from enginehouse.registry.records import VersionRecord
from enginehouse.registry.store import Registry

from enginehouse.errors import BundleError
from enginehouse.manifest import MANIFEST_NAME, EngineManifest, read_manifest


def read_artefact(registry: Registry, record: VersionRecord, path: str) -> bytes:
    """Read one file of a version's bundle.

    Raises:
        RegistryError: if the registry does not have the file.
    """
    with (
        registry.session() as client,
        tempfile.TemporaryDirectory(prefix="enginehouse-artefact-") as scratch,
    ):
        fetched = repository(client, record.bundle).download_artifacts(path, scratch)
        return Path(fetched).read_bytes()


def read_registered_manifest(registry: Registry, record: VersionRecord) -> EngineManifest:
    """Read a version's manifest without its engine.

    Raises:
        BundleError: if the manifest's schema is not supported.
        RegistryError: if the registry does not have the file.
    """
    with tempfile.TemporaryDirectory(prefix="enginehouse-manifest-") as scratch:
        content = read_artefact(registry, record, MANIFEST_NAME)
        (Path(scratch) / MANIFEST_NAME).write_bytes(content)
        try:
            return read_manifest(Path(scratch))
        except BundleError as error:
            where = f"{record.name} version {record.version}"
            raise BundleError(str(error).replace(scratch, where)) from None


def repository(client: Any, uri: str) -> Any:
    """MLflow's artefact repository for `uri`."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(uri, tracking_uri=client.tracking_uri)
