"""Bringing one Triton in line with the registry's champions, a step at a time.

Desired state is the alias `champion` of each model; actual state is read back from Triton. A new
champion is loaded beside the old one, the ensemble is re-pointed, and the old version goes once
it has had time to drain: requests in flight finish on the version that began them. An
embedding model is one Triton model without an ensemble, see `Reconciler._point_alias`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from enginehouse.client import TritonClient
from enginehouse.model_repository.config import pinned_version
from enginehouse.model_repository.repository import ModelRepository
from enginehouse.registry.cache import BundleCache
from enginehouse.registry.store import Registry

from enginehouse.errors import BundleError, EnginehouseError, ServingError
from enginehouse.manifest import EngineSettings

#: Adapters look once a second which version serves; then the old one may go.
_DRAIN_S = 5.0


@dataclass(slots=True)
class _Retiring:
    """A version that serves no new requests any more."""

    version: int
    since: float


class Reconciler:
    """Moves one Triton towards the registry's desired state."""

    def __init__(
        self,
        registry: Registry,
        cache: BundleCache,
        repository: ModelRepository,
        triton: TritonClient,
        report: Callable[[str], None],
        override: Callable[[EngineSettings], EngineSettings],
    ) -> None:
        """`report` is told of every step; `override` applies the host's own engine settings."""
        self._registry = registry
        self._cache = cache
        self._repository = repository
        self._triton = triton
        self._report = report
        self._override = override
        self._serving: dict[str, int] = {}
        self._embedding: set[str] = set()
        self._retiring: dict[str, _Retiring] = {}
        self._refused: dict[str, int] = {}

    @property
    def serving(self) -> dict[str, int]:
        """Model → version that serves: the one that its ensemble is pinned to, if it has one."""
        return dict(self._serving)

    def is_embedding(self, name: str) -> bool:
        """Whether a served model is one of embeddings, and so one Triton model without parts."""
        return name in self._embedding

    def desired(self) -> dict[str, int]:
        """Model → champion, for every model that has one.

        Raises:
            RegistryError: if the registry does not answer.
        """
        champions = {name: self._registry.champion(name) for name in self._registry.models()}
        return {name: version for name, version in champions.items() if version is not None}

    def load_all(self) -> None:
        """Load every champion into an empty Triton.

        Raises:
            EnginehouseError: if a bundle or a load fails.
        """
        self._serving.clear()
        self._retiring.clear()
        for name, version in self.desired().items():
            self._report(f"loading {name} version {version}")
            self._add(name, version)
            self._set_versions(name, [version])
            self._point_alias(name, version)
            self._load(name)
            self._serving[name] = version

    def step(self) -> None:
        """At most one change for each model; call it again and again.

        A champion that cannot be loaded is reported once, and what serves goes on serving.

        Raises:
            RegistryError: if the registry does not answer.
        """
        for name, version in self.desired().items():
            if self._serving.get(name) != version and self._refused.get(name) != version:
                try:
                    self._switch(name, version)
                except EnginehouseError as error:
                    self._refused[name] = version
                    self._report(f"{name} version {version} could not be loaded: {error}")
        for name, retiring in list(self._retiring.items()):
            if time.monotonic() - retiring.since >= _DRAIN_S:
                self._retire(name, retiring)

    def reload(self, name: str, part: str) -> None:
        """Replace a dead part of a served model: only unload and load brings it back.

        Raises:
            ServingError: if Triton refuses.
        """
        self._triton.unload(part)
        self._wait_unloaded(part)
        self._load(name)

    def _wait_unloaded(self, part: str, patience_s: float = 1.0) -> None:
        """Requests that a dead stub still owes keep a part in UNLOADING: do not wait for ever."""
        until = time.monotonic() + patience_s
        while time.monotonic() < until:
            states = [state for name, _, state in self._triton.repository_index() if name == part]
            if all(state in {"", "UNAVAILABLE"} for state in states):
                return
            time.sleep(0.05)

    def _switch(self, name: str, version: int) -> None:
        before = self._serving.get(name)
        began = time.monotonic()
        self._report(f"loading {name} version {version}")
        self._add(name, version)
        beside = [version] if before is None else [before, version]
        self._set_versions(name, beside)
        try:
            if before is not None:
                self._triton.load(name)
            self._point_alias(name, version)
            self._load(name)
        except ServingError:
            if before is not None:
                self._set_versions(name, [before])
                self._point_alias(name, before)
            raise
        if not self._took_over(name, version):
            raise ServingError(f"Triton did not take over {name} version {version}")
        self._serving[name] = version
        took = time.monotonic() - began
        self._report(f"{name} version {version} serves (in {took:.1f} s)")
        if before is not None and not self.is_embedding(name):
            self._retiring[name] = _Retiring(before, time.monotonic())

    def _load(self, name: str) -> None:
        """Load a model's alias, and its bare names if it has some."""
        for alias in self._repository.aliases(name):
            self._triton.load(alias)

    def _retire(self, name: str, retiring: _Retiring) -> None:
        self._set_versions(name, [self._serving[name]])
        self._triton.load(name)
        del self._retiring[name]
        self._report(f"{name} version {retiring.version} is unloaded")

    def _add(self, name: str, version: int) -> None:
        bundle = self._cache.fetch(name, version)
        settings = self._override(bundle.manifest.engine_settings)
        self._repository.add_version(name, version, bundle, settings)
        if bundle.manifest.embedding is not None and len(self._repository.aliases(name)) > 1:
            raise BundleError(
                f"--compat-names {name}: it is an embedding model; NVIDIA's names are for a "
                "text generator"
            )
        (self._embedding.add if bundle.manifest.embedding else self._embedding.discard)(name)

    def _set_versions(self, name: str, versions: Sequence[int]) -> None:
        if self.is_embedding(name):
            self._repository.set_embedding_versions(name, versions)
        else:
            self._repository.set_versions(name, versions)

    def _point_alias(self, name: str, version: int) -> None:
        """Make `version` the one that answers who names none; it is loaded by the next `load`.

        An embedding model has no ensemble: Triton gives the highest version that is loaded, so
        the new one alone stays. Adapters name no version of it, and requests in flight finish
        where they began, so it needs no time to drain.
        """
        if self.is_embedding(name):
            self._repository.set_embedding_versions(name, [version])
        else:
            self._repository.point_alias(name, name, version)

    def _took_over(self, name: str, version: int) -> bool:
        if self.is_embedding(name):
            return (name, str(version), "READY") in self._triton.repository_index()
        return pinned_version(self._triton.model_config(name)) == version
