"""Writes verified bundles and configurations to the model repository."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from enginehouse.model_repository.repository import ModelRepository
from enginehouse.registry.cache import BundleCache
from enginehouse.registry.controller.fencing import Fence
from enginehouse.registry.controller.replica_plan import ReplicaTarget, challenger_alias

from enginehouse.bundle import Bundle
from enginehouse.errors import BundleError
from enginehouse.manifest import EngineSettings


class Placement:
    """Writer of the model repository that all replicas share."""

    def __init__(
        self,
        cache: BundleCache,
        repository: ModelRepository,
        override: Callable[[EngineSettings], EngineSettings],
        fence: Fence,
    ) -> None:
        """`override` applies the host's engine settings; `fence` is checked before each write."""
        self._cache = cache
        self._repository = repository
        self._override = override
        self._fence = fence
        self._placed: set[tuple[str, int]] = set()
        # Replicas' threads, gates and the controller may request the same version concurrently.
        self._lock = threading.Lock()

    def settings(self, bundle: Bundle) -> EngineSettings:
        """Engine settings in effect on this host."""
        return self._override(bundle.manifest.engine_settings)

    def bundle(self, model: str, version: int) -> Bundle:
        """The verified bundle of a version; creates its directories in the repository.

        Raises:
            RegistryError, BundleError: if it is not available or damaged.
        """
        with self._lock:
            return self._bundle(model, version)

    def _bundle(self, model: str, version: int) -> Bundle:
        if (model, version) in self._placed:
            path = self._cache.path(model, version)
            if path.is_dir():
                return Bundle.open(path)
        bundle = self._cache.fetch(model, version)
        with self._fence.writing(self._repository.root):
            self._repository.add_version(model, version, bundle, self.settings(bundle))
        compat = self._repository.names.compat_model
        if bundle.manifest.embedding is not None and model == compat:
            raise BundleError(
                f"--compat-names {model}: it is an embedding model; NVIDIA's names are for a "
                "text generator"
            )
        self._placed.add((model, version))
        return bundle

    def aliases(self, model: str, *, embedding: bool = False) -> tuple[str, ...]:
        """Names that are loaded for a model in addition to its parts."""
        return self._repository.names.of(model, embedding=embedding)

    def write(self, model: str, wanted: ReplicaTarget) -> None:
        """Write the files of a model's target; loads nothing.

        Raises:
            LeaseLostError: if the lease is not held; nothing was written.
        """
        for version in wanted.versions:
            self.bundle(model, version)
        with self._fence.writing(self._repository.root):
            if wanted.embedding:
                self._repository.set_embedding_versions(model, sorted(wanted.versions))
                return
            self._repository.set_versions(model, sorted(wanted.versions))
            if wanted.champion is not None:
                self._repository.point_alias(model, model, wanted.champion)
            if wanted.challenger is not None:
                self._repository.point_alias(challenger_alias(model), model, wanted.challenger)

    def write_versions(self, model: str, versions: Iterable[int]) -> None:
        """Write which versions of the parts have to be loaded.

        Raises:
            LeaseLostError: if the lease is not held; nothing was written.
        """
        with self._fence.writing(self._repository.root):
            self._repository.set_versions(model, sorted(versions))
