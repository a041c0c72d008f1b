"""Which versions of which models are loaded, and which of them is the champion.

The fleet is asked, not a file: what is loaded is what Triton has ready. Who gets the requests is
the controller's routes, or without them the version that the ensemble `<model>` is pinned to.
The tokenizer and the template come from each version's own bundle.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol, Self

from enginehouse.api.revision import Served
from enginehouse.api.route_files import RouteFiles
from enginehouse.client.model_configs import is_embedding, pinned_version

from enginehouse.errors import EnginehouseError, ModelNotFoundError, ServingError
from enginehouse.names import TENSORRT_LLM, part
from enginehouse.supervision import start_loop
from enginehouse.traffic import Arm, Routes

_log = logging.getLogger(__name__)
_POLL_EVERY_S = 0.1
_LOOK_EVERY_S = 1.0
_OPEN_AGAIN_AFTER_S = 5.0
_READY = "READY"
Index = list[tuple[str, str, str]]


class FleetPicture(Protocol):
    """What the directory needs of a fleet; see `AsyncFleetClient`."""

    async def look(self) -> None:
        """Renew the picture."""
        ...

    def repository_index(self) -> Index:
        """Name, version and state of every model version."""
        ...

    def ready_versions(self, name: str) -> frozenset[int]:
        """Versions of a Triton model that are ready somewhere."""
        ...

    async def model_config(self, name: str) -> Any:
        """The configuration of a loaded model."""
        ...


class ModelDirectory:
    """Follows the fleet, a look a second, and the routes, ten looks a second."""

    def __init__(
        self, fleet: FleetPicture, files: RouteFiles, open_version: Callable[[str, int], Served]
    ) -> None:
        """`open_version` reads a version's bundle; it may block and raise EnginehouseError."""
        self._fleet = fleet
        self._files = files
        self._open = open_version
        self._revisions: dict[str, dict[int, Served]] = {}
        self._champions: dict[str, int] = {}
        self._open_again_at: dict[tuple[str, int], float] = {}
        self._looked_at = float("-inf")
        self._looking: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = start_loop("model-directory", self._follow)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in (self._task, self._looking):
            if task is not None:
                task.cancel()

    def models(self) -> list[Served]:
        """The champion of each model, by name."""
        return [self._revisions[name][self._champions[name]] for name in sorted(self._champions)]

    def revisions(self, model: str) -> Mapping[int, Served]:
        """Every version of a model that can be spoken to; none if the model is unknown."""
        return self._revisions.get(model, {})

    def ready(self, model: str) -> frozenset[int]:
        """Those of `revisions` that some replica has ready."""
        name = part(model, TENSORRT_LLM)
        return self._fleet.ready_versions(name) & self.revisions(model).keys()

    def routes(self, model: str) -> Routes | None:
        """The controller's routes; None without a file."""
        return self._files.current.get(model)

    def applied(self) -> dict[str, Routes]:
        """The routes that hold now, by model: the controller's, or all to the champion."""
        found = {
            name: Routes(
                model=name,
                generation=0,
                champion=version,
                arms=(Arm(version=version, weight=100),),
                loaded=tuple(sorted(self.revisions(name))),
            )
            for name, version in self._champions.items()
        }
        return found | dict(self._files.current)

    def not_loaded(self) -> list[str]:
        """Models that have routes and no version that can be spoken to."""
        return sorted(self._files.current.keys() - self._champions.keys())

    async def champion(self, model: str) -> Served:
        """The version of a model that serves by default, of either kind.

        Raises:
            ModelNotFoundError: naming the models that there are.
        """
        if model not in self._champions:
            await self._fleet.look()
            await self._look()
        if model not in self._champions:
            known = ", ".join(sorted(self._champions)) or "none is loaded yet"
            raise ModelNotFoundError(
                f"the model {model!r} does not exist; models here: {known}", field="model"
            )
        return self._revisions[model][self._champions[model]]

    async def _follow(self) -> None:
        while True:
            due = time.monotonic() - self._looked_at >= _LOOK_EVERY_S or not self._champions
            if self._files.poll() or due:
                await self._look()
            await asyncio.sleep(_POLL_EVERY_S)

    async def _look(self) -> None:
        """Bring the picture up to date; callers at the same time share one look."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._renew())
        await asyncio.shield(self._looking)

    async def _renew(self) -> None:
        """An unreachable fleet leaves the picture as it is."""
        self._looked_at = time.monotonic()
        try:
            index = self._fleet.repository_index()
            loaded = _loaded_generators(index)
            champions = await self._pins(index, loaded)
            embeddings = await self._embeddings(index)
        except ServingError as error:
            _log.debug("the fleet does not answer: %s", error)
            return
        loaded |= embeddings
        champions |= {name: max(versions) for name, versions in embeddings.items()}
        champions = self._routed(champions, loaded) | self._under_repair(champions, index)
        for name, champion in champions.items():
            await self._take(name, champion, loaded.get(name, set()))
        for name in self._revisions.keys() - champions.keys():
            del self._revisions[name]
            self._champions.pop(name, None)

    async def _pins(self, index: Index, loaded: Mapping[str, Collection[int]]) -> dict[str, int]:
        ready = {name for name, _, state in index if state == _READY}
        pins = {
            name: pinned_version(await self._fleet.model_config(name))
            for name in loaded.keys() & ready
        }
        return {name: version for name, version in pins.items() if version is not None}

    async def _embeddings(self, index: Index) -> dict[str, set[int]]:
        """Embedding models that are ready → their versions, of which the highest serves.

        They have no parts; what else has none is told apart by its outputs.
        """
        with_parts = {name.partition(".")[0] for name, _, _ in index if "." in name}
        found: defaultdict[str, set[int]] = defaultdict(set)
        for name, version, state in index:
            if state == _READY and "." not in name and name not in with_parts:
                found[name].add(int(version))
        return {
            name: versions
            for name, versions in found.items()
            if is_embedding(await self._fleet.model_config(name))
        }

    def _routed(
        self, champions: Mapping[str, int], loaded: Mapping[str, Collection[int]]
    ) -> dict[str, int]:
        """The routes' champion, if it is loaded, goes before the pin."""
        routed = {
            name: routes.champion
            for name, routes in self._files.current.items()
            if routes.champion in loaded.get(name, ())
        }
        return {**champions, **routed}

    def _under_repair(self, champions: Mapping[str, int], index: Index) -> dict[str, int]:
        """An engine that is being repaired is down, not gone: its model stays on the list."""
        known = {name for name, _, _ in index}
        gone = self._champions.keys() - champions.keys()
        return {name: self._champions[name] for name in gone & known}

    async def _take(self, name: str, champion: int, loaded: Collection[int]) -> None:
        """Open what is new, forget what is unloaded."""
        before = self._revisions.get(name, {})
        after: dict[int, Served] = {}
        for version in sorted({champion, *loaded}):
            served = before.get(version) or await self._opened(name, version)
            if served is not None:
                after[version] = served
        if champion not in after:
            champion = self._champions.get(name, champion)
            if champion in before:
                after[champion] = before[champion]
        if champion in after:
            self._revisions[name], self._champions[name] = after, champion

    async def _opened(self, name: str, version: int) -> Served | None:
        key = name, version
        if time.monotonic() < self._open_again_at.get(key, 0.0):
            return None
        try:
            served = await asyncio.to_thread(self._open, name, version)
        except EnginehouseError:
            if key not in self._open_again_at:
                _log.exception("the bundle of %s version %d cannot be read", name, version)
            self._open_again_at[key] = time.monotonic() + _OPEN_AGAIN_AFTER_S
            return None
        self._open_again_at.pop(key, None)
        return served


def _loaded_generators(index: Index) -> dict[str, set[int]]:
    """Model → the versions of its engine that are ready."""
    found: defaultdict[str, set[int]] = defaultdict(set)
    for name, version, state in index:
        model, _, suffix = name.partition(".")
        if suffix == TENSORRT_LLM and state == _READY:
            found[model].add(int(version))
    return dict(found)
