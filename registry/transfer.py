"""From one environment or registry to the next: the same bundle, and nothing copied twice."""

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

#: Of our own tags those that say what the bundle is; a person's tags go along too.
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
    """What a transfer did.

    Attributes:
        record: the version in the target.
        created: whether it is new; otherwise it was there already.
        copied: whether the bundle's files had to be copied.
    """

    record: VersionRecord
    created: bool
    copied: bool


def transfer(source: Registry, target: Registry, name: str, version: int) -> Transfer:
    """Make a version of `name` in the target that is the same bundle, with its tags and label.

    A version that is there already is left alone and returned. Files are copied only into an
    MLflow that does not hold them yet. Aliases do not go along: what the target serves is
    decided there.

    Raises:
        NotRegisteredError: if there is no such version.
        ConflictError: if it is retired, or the target has its label on another bundle.
        BundleError: if the files are not what was registered, or of another kind than the
            target's versions.
        RegistryError: if a registry refuses or does not answer.
    """
    record = source.version(name, version)
    digest = record.tags.get(records.TAG_MANIFEST)
    if record.retired is not None:
        raise ConflictError(f"{name} version {version} is retired ({record.retired})")
    if digest is None:
        raise RegistryError(
            f"{name} version {version} has no tag {records.TAG_MANIFEST}: it was not registered "
            "by `enginehouse register`, so nobody can say whether two are the same"
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
        # Whoever deleted the source and its artefacts meanwhile did not see this version yet.
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
    """Of our own tags those that describe the bundle, and all that are not ours or MLflow's."""
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
