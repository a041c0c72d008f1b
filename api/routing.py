"""Which version answers a request: the one place where that is decided."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Protocol

from enginehouse.api.revision import Revision, Served

from enginehouse.errors import ForbiddenError, InvalidRequestError, ModelNotFoundError
from enginehouse.traffic import Routes, assign, bucket
from enginehouse.traffic.assignment import BUCKETS
from enginehouse.traffic.treatments import Treatment, treatment_of

_HEADER = "header:"


class Directory(Protocol):
    """What routing needs to know; see `ModelDirectory`."""

    async def champion(self, model: str) -> Served:
        """The version that serves by default."""
        ...

    def revisions(self, model: str) -> Mapping[int, Served]:
        """Versions that can be spoken to."""
        ...

    def ready(self, model: str) -> frozenset[int]:
        """Those of them that are ready somewhere."""
        ...

    def routes(self, model: str) -> Routes | None:
        """The controller's routes."""
        ...


@dataclass(frozen=True, slots=True)
class ModelName:
    """What the field `model` says: ``model[@version][:adapter]``."""

    model: str
    version: str | None = None
    adapter: str | None = None

    @classmethod
    def parse(cls, name: str) -> ModelName:
        """Take a name apart; nothing is refused here."""
        versioned, colon, adapter = name.partition(":")
        model, at, version = versioned.partition("@")
        return cls(model, version if at else None, adapter if colon else None)


@dataclass(frozen=True, slots=True)
class Keys:
    """What a request says about who asks.

    Attributes:
        user: the body's field.
        messages: role and content of each message; empty for an endpoint without messages.
    """

    user: str | None = None
    messages: Sequence[Mapping[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def unit(self, sticky: str) -> str | None:
        """What is assigned under `Routes.sticky`; None if the request does not say."""
        if sticky == "user":
            return self.user
        if sticky == "conversation":
            return conversation(self.messages)
        if sticky.startswith(_HEADER):
            return self.headers.get(sticky.removeprefix(_HEADER))
        return None


def conversation(messages: Sequence[Mapping[str, str]]) -> str | None:
    """A conversation's name: a hash of its messages up to the first of the user.

    It is the same for every turn, since clients send all turns before.
    """
    for count, message in enumerate(messages, start=1):
        if message["role"] == "user":
            opening = [[m["role"], m["content"]] for m in messages[:count]]
            return blake2b(json.dumps(opening).encode(), digest_size=16).hexdigest()
    return None


@dataclass(frozen=True, slots=True)
class Route:
    """Who answers a request, and why.

    Attributes:
        adapter: LoRA adapter of the revision, or None.
        pinned: the caller chose the version.
        rollout, generation: of the routes that chose it; None and 0 without routes, and where an
            experiment chose the version, which is no part of a rollout's comparison.
        treatment: the arm of the A/B experiment that the request is exposed to.
        priority: in the engine's queue, higher goes first.
    """

    revision: Revision
    adapter: str | None = None
    pinned: bool = False
    rollout: str | None = None
    generation: int = 0
    treatment: Treatment | None = None
    priority: int = 0

    @property
    def by_experiment(self) -> bool:
        """Whether an experiment chose the version."""
        return self.treatment is not None and self.treatment.arm.version is not None


class Router:
    """Chooses by the routes, or takes the version that the caller pinned."""

    def __init__(
        self, directory: Directory, *, pins: bool, draw: Callable[[], float] = random.random
    ) -> None:
        """`draw` gives a number from 0 up to 1 for requests that nothing assigns."""
        self._directory = directory
        self._pins = pins
        self._draw = draw

    async def route(self, name: str, keys: Keys) -> Route:
        """The route of a request to a text generator.

        Raises:
            ModelNotFoundError: naming the models, versions or adapters that there are.
            ForbiddenError: if it pins a version and may not.
            InvalidRequestError: if it is an embedding model.
        """
        asked = ModelName.parse(name)
        champion = await self._directory.champion(asked.model)
        if asked.version is not None:
            revision = _generator(self._pinned(asked.model, asked.version))
            return Route(revision, _adapter(revision, asked), pinned=True)
        routes = self._directory.routes(asked.model)
        if routes is None:
            revision = _generator(champion)
            return Route(revision, _adapter(revision, asked))
        treatment = self._treatment(routes, asked, keys)
        version = None if treatment is None else treatment.arm.version
        chosen = self._chosen(routes, keys) if version is None else version
        revision = _generator(self._directory.revisions(asked.model).get(chosen, champion))
        route = Route(revision, _adapter(revision, asked), treatment=treatment)
        if route.by_experiment:
            return route
        return replace(route, rollout=routes.rollout, generation=routes.generation)

    def elsewhere(self, route: Route) -> Route | None:
        """Where a request goes whose version has just failed it; None if it must not or cannot.

        To the champion first, then to the arm with the largest share.
        """
        target = route.revision.target
        routes = self._directory.routes(target.model)
        if route.pinned or routes is None:
            return None
        by_weight = sorted(routes.arms, key=lambda arm: -arm.weight)
        ready = self._directory.ready(target.model) - {target.version}
        for version in (routes.champion, *(arm.version for arm in by_weight)):
            other = self._directory.revisions(target.model).get(version)
            fits = route.adapter is None or (other and route.adapter in other.adapters)
            if version in ready and isinstance(other, Revision) and fits:
                if route.by_experiment:
                    return replace(route, revision=other)
                return replace(
                    route, revision=other, rollout=routes.rollout, generation=routes.generation
                )
        return None

    async def embedding(self, name: str) -> tuple[Served, bool]:
        """An embedding model's version, and whether it is pinned.

        Raises:
            ModelNotFoundError, ForbiddenError: see `route`.
            InvalidRequestError: if it is a text generator.
        """
        served, pinned = await self._by_name(ModelName.parse(name))
        if served.manifest.embedding is None:
            raise InvalidRequestError(
                f"{name!r} is a text generator, not an embedding model; use "
                "/v1/chat/completions or /v1/completions",
                field="model",
            )
        return served, pinned

    async def described(self, name: str) -> tuple[Served, str | None]:
        """A model of either kind and an adapter of it, for those who ask about it.

        Raises:
            ModelNotFoundError, ForbiddenError: see `route`.
        """
        asked = ModelName.parse(name)
        served, _ = await self._by_name(asked)
        return served, _adapter(served, asked)

    async def _by_name(self, asked: ModelName) -> tuple[Served, bool]:
        champion = await self._directory.champion(asked.model)
        if asked.version is None:
            return champion, False
        return self._pinned(asked.model, asked.version), True

    def _pinned(self, model: str, version: str) -> Served:
        if not self._pins:
            raise ForbiddenError(
                f"{model}@{version} pins a version, which this endpoint does not allow: ask for "
                f"{model!r}, or start the adapter with ENGINEHOUSE_PINS=true",
                field="model",
            )
        routes = self._directory.routes(model)
        revisions = self._directory.revisions(model)
        # A version that the routes have left out is about to be unloaded.
        allowed = [v for v in revisions if not routes or not routes.loaded or v in routes.loaded]
        if not version.isdecimal() or int(version) not in allowed:
            known = ", ".join(map(str, sorted(allowed)))
            raise ModelNotFoundError(
                f"the model {model!r} has no version {version!r} loaded; loaded here: "
                f"{known or 'none'}",
                field="model",
            )
        return revisions[int(version)]

    def _treatment(self, routes: Routes, asked: ModelName, keys: Keys) -> Treatment | None:
        """Who asks for a LoRA adapter by name wants that, and takes part in nothing else."""
        if not routes.experiments or asked.adapter is not None:
            return None
        ready = self._directory.ready(routes.model)
        return treatment_of(routes.experiments, keys.unit, keys.messages, ready)

    def _chosen(self, routes: Routes, keys: Keys) -> int:
        """A version by the weights, or one that stands in for it if it is ready nowhere."""
        unit = keys.unit(routes.sticky)
        salt = routes.rollout or routes.model
        place = self._draw() if unit is None else bucket(salt, unit) / BUCKETS
        chosen = assign([(arm.version, arm.weight) for arm in routes.arms], place)
        ready = self._directory.ready(routes.model)
        stand_ins = (routes.champion, *(arm.version for arm in routes.arms))
        return next((v for v in (chosen, *stand_ins) if v in ready), chosen)


def _generator(served: Served) -> Revision:
    if not isinstance(served, Revision):
        raise InvalidRequestError(
            f"{served.target.model!r} is an embedding model; use /v1/embeddings", field="model"
        )
    return served


def _adapter(served: Served, asked: ModelName) -> str | None:
    if asked.adapter is not None and asked.adapter not in served.adapters:
        raise ModelNotFoundError(
            f"the model {asked.model!r} has no adapter {asked.adapter!r}; adapters here: "
            f"{', '.join(served.adapters) or 'none'}",
            field="model",
        )
    return asked.adapter
