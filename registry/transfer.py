"""Transfers a version to another environment or registry; copies files only if needed."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from enginehouse.registry import records
from enginehouse.registry.artefacts import read_artefact
from enginehouse.registry.labels import Label, check_free
from enginehouse.registry.records import VersionRecord
from enginehouse.registry.store import Registry

from enginehouse.bundle import Bundle
from enginehouse.digests import sha256_file
from enginehouse.errors import BundleError, ConflictError, NotRegisteredError, RegistryError
from enginehouse.manifest import MANIFEST_NAME

#: Our tags that describe the bundle; they are transferred together with the user's tags.
_GO = {
    records.TAG_DIGEST,
    records.TAG_MANIFEST,
    records.TAG_KIND,
    records.TAG_RUNTIME,
    records.TAG_FORMAT,
    records.TAG_QUALITY,
    records.TAG_SIZE,
    records.TAG_LABEL,
}


@dataclass(frozen=True, slots=True)
class Transfer:
    """Result of a transfer.

    Attributes:
        record: the version in the target.
        created: whether it is new; otherwise it existed already.
        copied: whether the bundle's files were copied.
    """

    record: VersionRecord
    created: bool
    copied: bool


def transfer(source: Registry, target: Registry, name: str, version: int) -> Transfer:
    """Create a version of `name` in the target with the same bundle, tags and label.

    If the target has the version already, it is returned unchanged. Files are copied only if the
    target's MLflow does not have them. Aliases are not transferred: what the target serves is
    decided there.

    Raises:
        NotRegisteredError: if there is no such version.
        ConflictError: if it is retired, or the target uses its label for another bundle.
        BundleError: if the files are not those that were registered, or the kind differs from the
            target's versions.
        RegistryError: if a registry rejects a request or does not answer.
    """
    record = source.version(name, version)
    digest = record.tags.get(records.TAG_MANIFEST)
    if record.retired is not None:
        raise ConflictError(f"{name} version {version} is retired ({record.retired})")
    if digest is None:
        raise RegistryError(
            f"{name} version {version} has no tag {records.TAG_MANIFEST}: it was not registered "
            "by `enginehouse register`, so it cannot be compared with other versions"
        )
    known = _versions(target, name)
    for existing in known:
        if existing.tags.get(records.TAG_MANIFEST) == digest:
            return Transfer(existing, created=False, copied=False)
    if record.label is not None and known:
        check_free(target, name, Label.parse(record.label))
    tags = {**_portable(record), records.TAG_TRANSFERRED: _origin(source, record)}
    held = target.holding(digest)
    if held is None:
        return Transfer(_copy(source, target, record, tags), created=True, copied=True)
    return Transfer(_adopt(source, target, record, held, tags), created=True, copied=False)


def _adopt(
    source: Registry,
    target: Registry,
    record: VersionRecord,
    held: VersionRecord,
    tags: dict[str, str],
) -> VersionRecord:
    created = target.adopt(record.name, held, tags, _description(source, record))
    try:
        # The artefacts may have been deleted just before this version referred to them.
        read_artefact(target, created, MANIFEST_NAME)
    except RegistryError:
        with target.session() as client:
            client.delete_model_version(target.registered_name(record.name), str(created.version))
        raise
    return created


def _copy(
    source: Registry, target: Registry, record: VersionRecord, tags: dict[str, str]
) -> VersionRecord:
    with tempfile.TemporaryDirectory(prefix="enginehouse-transfer-") as scratch:
        bundle = Bundle.open(source.download(record, Path(scratch)))
        if sha256_file(bundle.path / MANIFEST_NAME) != tags[records.TAG_MANIFEST]:
            raise BundleError(
                f"what the registry holds as {record.name} version {record.version} is not "
                "what was registered: register the bundle again"
            )
        created = target.register(bundle, record.name, record.label)
    for key, value in tags.items():
        if created.tags.get(key) != value:
            target.set_version_tag(record.name, created.version, key, value)
    return target.version(record.name, created.version)


def _versions(registry: Registry, name: str) -> list[VersionRecord]:
    try:
        return registry.versions(name)
    except NotRegisteredError:
        return []


def _portable(record: VersionRecord) -> dict[str, str]:
    """Tags to transfer: ours that describe the bundle, and the user's."""
    return {
        key: value
        for key, value in record.tags.items()
        if key in _GO or not key.startswith(("enginehouse.", "mlflow."))
    }


def _description(source: Registry, record: VersionRecord) -> str:
    with source.session() as client:
        found = client.get_model_version(source.registered_name(record.name), str(record.version))
    return str(found.description or "")


def _origin(source: Registry, record: VersionRecord) -> str:
    return f"{source.location} {source.registered_name(record.name)} version {record.version}"
