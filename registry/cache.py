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
    """One directory a version: ``<root>/<name>/<version>``."""

    def __init__(self, root: Path, registry: Registry) -> None:
        self._root = root
        self._registry = registry

    def path(self, name: str, version: int) -> Path:
        """Where the copy lies or will lie."""
        return self._root / name / str(version)

    def fetch(self, name: str, version: int) -> Bundle:
        """The version's bundle, downloaded if it is not here, every file checked either way.

        A copy that has been damaged since is thrown away and downloaded again.

        Raises:
            NotRegisteredError, RegistryError: if the registry does not have it.
            BundleError: if what the registry holds is not what was registered.
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
    """The manifest is the one that was registered, and every file is the manifest's."""
    bundle = Bundle.open(path)
    expected = record.tags.get(TAG_MANIFEST)
    if expected is not None and sha256_file(path / MANIFEST_NAME) != expected:
        raise BundleError(
            f"{path}: its {MANIFEST_NAME} is not the one that was registered as "
            f"{record.name} version {record.version}; register the bundle again"
        )
    bundle.verify()
    return bundle
