"""Verified local copies of registered bundles."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from enginehouse.registry.records import TAG_MANIFEST, VersionRecord
from enginehouse.registry.store import Registry

from enginehouse.bundle import Bundle
from enginehouse.digests import sha256_file
from enginehouse.errors import BundleError
from enginehouse.manifest import MANIFEST_NAME


class BundleCache:
    """One directory for each version: ``<root>/<name>/<version>``."""

    def __init__(self, root: Path, registry: Registry) -> None:
        self._root = root
        self._registry = registry

    def path(self, name: str, version: int) -> Path:
        """Path of the local copy, whether it exists or not."""
        return self._root / name / str(version)

    def fetch(self, name: str, version: int) -> Bundle:
        """Return the version's bundle; downloads it if needed and verifies every file.

        A damaged local copy is deleted and downloaded again.

        Raises:
            NotRegisteredError, RegistryError: if the registry does not have it.
            BundleError: if the files in the registry are not those that were registered.
        """
        record = self._registry.version(name, version)
        target = self.path(name, version)
        if target.exists():
            try:
                return _verified(target, record)
            except BundleError:
                shutil.rmtree(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=target.parent) as scratch:
            fetched = self._registry.download(record, Path(scratch))
            _verified(fetched, record)
            fetched.rename(target)
        return Bundle.open(target)


def _verified(path: Path, record: VersionRecord) -> Bundle:
    """Check that the manifest is the registered one, and that every file matches it."""
    bundle = Bundle.open(path)
    expected = record.tags.get(TAG_MANIFEST)
    if expected is not None and sha256_file(path / MANIFEST_NAME) != expected:
        raise BundleError(
            f"{path}: its {MANIFEST_NAME} is not the one that was registered as "
            f"{record.name} version {record.version}; register the bundle again"
        )
    bundle.verify()
    return bundle
