"""Compares registered versions without downloading their engines."""

from __future__ import annotations

import json
from typing import Any

from enginehouse.registry.artefacts import read_artefact, read_registered_manifest
from enginehouse.registry.diff import BundleDiff, Facts, compare
from enginehouse.registry.records import VersionRecord
from enginehouse.registry.store import Registry

from enginehouse.bundle import CHAT_TEMPLATE_FILE, TOKENIZER_FILE
from enginehouse.errors import BundleError
from enginehouse.manifest import EngineManifest

_SPEED_FILE = "reports/speed.json"


def compare_versions(registry: Registry, left: VersionRecord, right: VersionRecord) -> BundleDiff:
    """Compare two registered versions.

    Raises:
        BundleError: if a file of a bundle is invalid.
        RegistryError: if the registry does not have the files.
    """
    pair = [(record, read_registered_manifest(registry, record)) for record in (left, right)]
    tokenizers = {_digest(manifest, TOKENIZER_FILE) for _, manifest in pair}
    first, second = (
        _facts(registry, record, manifest, with_tokenizer=len(tokenizers) > 1)
        for record, manifest in pair
    )
    return compare(first, second)


def _facts(
    registry: Registry, record: VersionRecord, manifest: EngineManifest, *, with_tokenizer: bool
) -> Facts:
    listed = {file.path for file in manifest.files}
    label = f" ({record.label})" if record.label else ""

    def text(path: str) -> str | None:
        return read_artefact(registry, record, path).decode() if path in listed else None

    speed = _parsed(record, _SPEED_FILE, text(_SPEED_FILE))
    tokenizer = text(TOKENIZER_FILE) if with_tokenizer else None
    return Facts(
        title=f"{record.name} {record.version}{label}",
        manifest=manifest,
        speed=speed and {k: v for k, v in speed.items() if isinstance(v, int | float)},
        chat_template=text(CHAT_TEMPLATE_FILE),
        tokenizer=_parsed(record, TOKENIZER_FILE, tokenizer),
    )


def _digest(manifest: EngineManifest, path: str) -> str | None:
    return next((file.sha256 for file in manifest.files if file.path == path), None)


def _parsed(record: VersionRecord, path: str, content: str | None) -> dict[str, Any] | None:
    if content is None:
        return None
    try:
        return dict(json.loads(content))
    except ValueError as error:
        raise BundleError(
            f"{record.name} version {record.version}: {path} is not a JSON object: {error}"
        ) from None
