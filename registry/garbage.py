"""Garbage collection: artefacts and cached copies that nothing refers to."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from enginehouse.registry.artefacts import repository
from enginehouse.registry.connection import every_page
from enginehouse.registry.records import TAG_MANIFEST, ModelSnapshot
from enginehouse.registry.retirement import TAG_RELEASED_AT
from enginehouse.registry.store import Registry
from enginehouse.registry.usage import uses

from enginehouse.digests import sha256_file
from enginehouse.manifest import MANIFEST_NAME
from enginehouse.settings import Settings

#: Minimum age of garbage in seconds: something younger may be about to be referenced.
GRACE_S = 3600.0
_BUNDLE = "bundle"
_RUN_ID = re.compile(r"[0-9a-f]{32}")
_ALL_RUNS = 3  # mlflow.entities.ViewType.ALL


@dataclass(frozen=True, slots=True)
class Garbage:
    """One item that may be deleted.

    Attributes:
        where: URI or path.
        remove: deletes the item.
    """

    where: str
    size_bytes: int
    reason: str
    remove: Callable[[], None]

    def as_json(self) -> dict[str, str | int]:
        """Plain data for `--json`."""
        return {"where": self.where, "size_bytes": self.size_bytes, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class _References:
    """References from all versions of all registered models in all environments.

    Attributes:
        needed: manifest digests of versions that are aliased, loaded or in a rollout.
        known: manifest digests of all versions.
    """

    sources: frozenset[str]
    run_ids: frozenset[str]
    needed: frozenset[str]
    known: frozenset[str]

    def hold(self, run_id: str, artifact_uri: str) -> bool:
        """Whether a version refers to the artefacts of this run."""
        root = artifact_uri.rstrip("/")
        return run_id in self.run_ids or any(
            source == root or source.startswith(f"{root}/") for source in self.sources
        )


class Collector:
    """Finds and removes unreferenced items."""

    def __init__(
        self, registry: Registry, settings: Settings, now: Callable[[], float] = time.time
    ) -> None:
        self._registry = registry
        self._settings = settings
        self._now = now

    def collect(self, *, dry_run: bool = True) -> list[Garbage]:
        """Find garbage, and remove it unless `dry_run`.

        Items younger than `GRACE_S` and artefacts of unfinished runs are never garbage.

        Raises:
            RegistryError: if the registry does not answer or rejects a request.
        """
        with self._registry.session() as client:
            references = self._references(client)
            found = [
                *self._runs(client, references),
                *self._orphans(client, references),
                *self._cached(references),
            ]
            if not dry_run:
                for item in found:
                    item.remove()
        return found

    def _references(self, client: Any) -> _References:
        versions = list(every_page(client.search_model_versions))
        digests = {(v.name, int(v.version)): v.tags.get(TAG_MANIFEST) for v in versions}
        needed = set()
        for model in every_page(client.search_registered_models):
            served = self._registry.environment.served(model.name)
            aliases = {alias: int(version) for alias, version in model.aliases.items()}
            snapshot = ModelSnapshot(served or model.name, aliases, dict(model.tags))
            held = uses(snapshot, self._settings.routes_dir if served else None)
            needed |= {digests.get((model.name, version)) for version in held.reasons}
        return _References(
            sources=frozenset(v.source.rstrip("/") for v in versions if v.source),
            run_ids=frozenset(v.run_id for v in versions if v.run_id),
            needed=frozenset(digest for digest in needed if digest),
            known=frozenset(digest for digest in digests.values() if digest),
        )

    def _runs(self, client: Any, references: _References) -> Iterator[Garbage]:
        """Bundles logged by a registration that no version refers to."""
        for run in _registrations(client):
            if references.hold(run.info.run_id, run.info.artifact_uri) or not self._settled(run):
                continue
            store = repository(client, run.info.artifact_uri)
            size = _stored_bytes(store, _BUNDLE)
            deleted = run.info.lifecycle_stage == "deleted"
            if size is None and deleted:
                continue
            failed = run.info.status != "FINISHED"
            yield Garbage(
                where=f"{run.info.artifact_uri}/{_BUNDLE}",
                size_bytes=size or 0,
                reason="its registration failed" if failed else "its version was deleted",
                remove=_RunRemoval(client, store, run.info.run_id, size is not None, deleted),
            )

    def _settled(self, run: Any) -> bool:
        if run.info.status in {"RUNNING", "SCHEDULED"}:
            return False
        released = float(run.data.tags.get(TAG_RELEASED_AT, 0))
        ended = (run.info.end_time or run.info.start_time or 0) / 1000
        return self._old(max(released, ended))

    def _orphans(self, client: Any, references: _References) -> Iterator[Garbage]:
        """Local run directories that MLflow does not know; remote files have no age to check."""
        for root in _local_roots(client):
            for path in sorted(root.iterdir()) if root.is_dir() else ():
                if not (_RUN_ID.fullmatch(path.name) and path.is_dir()):
                    continue
                if self._old(_newest(path)) and not (
                    references.hold(path.name, path.as_uri())
                    or references.hold(path.name, str(path))
                    or _run_exists(client, path.name)
                ):
                    yield _directory(path, "MLflow knows no such run")

    def _cached(self, references: _References) -> Iterator[Garbage]:
        """Cached copies of versions that are not served; they can be downloaded again."""
        root = self._settings.cache_dir
        for model in sorted(root.iterdir()) if root.is_dir() else ():
            for path in sorted(model.iterdir()) if model.is_dir() else ():
                if not path.is_dir() or not self._old(path.stat().st_mtime):
                    continue
                manifest = path / MANIFEST_NAME
                digest = sha256_file(manifest) if manifest.is_file() else None
                if digest is None:
                    yield _directory(path, "a download that did not end")
                elif digest not in references.known:
                    yield _directory(path, "cached copy of a deleted version")
                elif digest not in references.needed:
                    yield _directory(path, "cached copy of a version that is not served")

    def _old(self, since: float) -> bool:
        return self._now() - since > GRACE_S


@dataclass(frozen=True, slots=True)
class _RunRemoval:
    """Deletes the files before the run, so that an interrupted removal is found again."""

    client: Any
    store: Any
    run_id: str
    files: bool
    deleted: bool

    def __call__(self) -> None:
        if self.files:
            self.store.delete_artifacts(_BUNDLE)
        if not self.deleted:
            self.client.delete_run(self.run_id)


def _registrations(client: Any) -> Iterator[Any]:
    for experiment in _experiments(client):
        for run in every_page(
            client.search_runs, [experiment.experiment_id], run_view_type=_ALL_RUNS
        ):
            # Runs of rollouts and evaluations are the history and are kept.
            named = (run.info.run_name or "").startswith("register ")
            if named and TAG_MANIFEST in run.data.tags:
                yield run


def _experiments(client: Any) -> Iterator[Any]:
    return every_page(client.search_experiments, filter_string="name LIKE 'enginehouse/%'")


def _local_roots(client: Any) -> list[Path]:
    locations = {urlparse(experiment.artifact_location) for experiment in _experiments(client)}
    return sorted(Path(unquote(u.path)) for u in locations if u.scheme in {"", "file"})


def _run_exists(client: Any, run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise
    return True


def _stored_bytes(store: Any, path: str) -> int | None:
    """Total size of the files below `path`; None if there are none."""
    sizes: list[int | None] = []
    for entry in store.list_artifacts(path):
        size = _stored_bytes(store, entry.path) if entry.is_dir else entry.file_size or 0
        sizes.append(size)
    known = [size for size in sizes if size is not None]
    return sum(known) if known else None


def _directory(path: Path, reason: str) -> Garbage:
    size = sum(file.lstat().st_size for file in path.rglob("*") if not file.is_dir())
    return Garbage(str(path), size, reason, lambda: shutil.rmtree(path))


def _newest(path: Path) -> float:
    return max(entry.lstat().st_mtime for entry in (path, *path.rglob("*")))
