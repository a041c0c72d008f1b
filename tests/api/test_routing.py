from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Mapping

import pytest
from enginehouse.api.revision import Revision, Served
from enginehouse.api.routing import Keys, ModelName, Route, Router, conversation
from enginehouse.client import Target

from enginehouse.bundle import Bundle
from enginehouse.errors import ForbiddenError, InvalidRequestError, ModelNotFoundError
from enginehouse.traffic import Arm, Routes
from tests.api.conftest import MakeRevision

_FRANCE = {"role": "user", "content": "What is the capital of France?"}


class FakeDirectory:
    """A model `m` with these versions."""

    def __init__(self, revisions: Mapping[int, Served], routes: Routes | None = None) -> None:
        self._revisions = revisions
        self._routes = routes
        self.down: set[int] = set()

    async def champion(self, model: str) -> Served:
        if model != "m":
            raise ModelNotFoundError(f"the model {model!r} does not exist")
        return self._revisions[self._routes.champion if self._routes else min(self._revisions)]

    def revisions(self, model: str) -> Mapping[int, Served]:
        return self._revisions

    def ready(self, model: str) -> frozenset[int]:
        return frozenset(self._revisions.keys() - self.down)

    def routes(self, model: str) -> Routes | None:
        return self._routes


def _routes(challenger_weight: int, sticky: str = "none", **more: object) -> Routes:
    return Routes(
        model="m", generation=7, rollout="r-1", champion=1, challenger=2, sticky=sticky,
        arms=(Arm(version=2, weight=challenger_weight),
              Arm(version=1, weight=100 - challenger_weight)),
        **more,
    )  # type: ignore[arg-type]  # fmt: skip


@pytest.fixture
def revisions(make_revision: MakeRevision) -> dict[int, Revision]:
    return {version: make_revision("m", version) for version in (1, 2, 3)}


def _ask(router: Router, name: str = "m", keys: Keys | None = None) -> Route:
    return asyncio.run(router.route(name, keys or Keys()))


def _versions(router: Router, keys: list[Keys]) -> list[int]:
    async def ask() -> list[int]:
        return [(await router.route("m", key)).revision.version for key in keys]

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("m", ("m", None, None)),
        ("m@3", ("m", "3", None)),
        ("m:lora", ("m", None, "lora")),
        ("m@3:lora", ("m", "3", "lora")),
        ("m@:", ("m", "", "")),
    ],
)
def test_names_are_taken_apart(name: str, parts: tuple[str, str | None, str | None]) -> None:
    found = ModelName.parse(name)
    assert (found.model, found.version, found.adapter) == parts


def test_without_routes_the_champion_answers(revisions: dict[int, Revision]) -> None:
    route = _ask(Router(FakeDirectory(revisions), pins=True))
    assert (route.revision.version, route.pinned, route.generation) == (1, False, 0)


def test_a_pin_takes_a_loaded_version(revisions: dict[int, Revision]) -> None:
    route = _ask(Router(FakeDirectory(revisions, _routes(0)), pins=True), "m@3")
    assert (route.revision.version, route.pinned, route.rollout) == (3, True, None)


@pytest.mark.parametrize("name", ["m@9", "m@x", "m@"])
def test_an_unknown_pin_names_what_is_loaded(revisions: dict[int, Revision], name: str) -> None:
    with pytest.raises(ModelNotFoundError, match="loaded here: 1, 2, 3"):
        _ask(Router(FakeDirectory(revisions), pins=True), name)


def test_a_version_that_the_routes_leave_out_cannot_be_pinned(
    revisions: dict[int, Revision],
) -> None:
    router = Router(FakeDirectory(revisions, _routes(0, loaded=(1, 2))), pins=True)
    with pytest.raises(ModelNotFoundError, match="loaded here: 1, 2"):
        _ask(router, "m@3")


def test_pins_may_be_forbidden(revisions: dict[int, Revision]) -> None:
    with pytest.raises(ForbiddenError, match="ENGINEHOUSE_PINS"):
        _ask(Router(FakeDirectory(revisions), pins=False), "m@1")


def test_an_unknown_adapter_names_those_of_the_version(revisions: dict[int, Revision]) -> None:
    with pytest.raises(ModelNotFoundError, match="no adapter 'lora'"):
        _ask(Router(FakeDirectory(revisions), pins=True), "m@1:lora")


def test_an_embedding_model_points_to_its_endpoint(bundle: Bundle) -> None:
    served = Served(Target("m", 1), bundle.manifest)
    with pytest.raises(InvalidRequestError, match="/v1/embeddings"):
        _ask(Router(FakeDirectory({1: served}), pins=True))


def test_weights_are_kept(revisions: dict[int, Revision]) -> None:
    directory = FakeDirectory(revisions, _routes(20))
    router = Router(directory, pins=True, draw=random.Random(1).random)  # noqa: S311
    count = _versions(router, [Keys()] * 4000).count(2)
    # Mean 800, standard deviation 25.3: within four of them.
    assert 700 < count < 900


def test_sticky_users_are_spread_by_the_weights_and_stay(revisions: dict[int, Revision]) -> None:
    users = [Keys(user=f"user-{index}") for index in range(2000)]
    on_challenger: list[set[int]] = []
    for weight in (0, 5, 25, 50, 100):
        router = Router(FakeDirectory(revisions, _routes(weight, "user")), pins=True)
        first, second = _versions(router, users), _versions(router, users)
        assert first == second
        on_challenger.append({index for index, version in enumerate(first) if version == 2})
    sizes = [len(found) for found in on_challenger]
    assert sizes[0] == 0
    assert sizes[-1] == 2000
    assert 60 < sizes[1] < 140
    assert 430 < sizes[2] < 570
    assert all(less <= more for less, more in itertools.pairwise(on_challenger))


def test_a_missing_key_is_assigned_by_chance(revisions: dict[int, Revision]) -> None:
    draws = iter([0.1, 0.9])
    directory = FakeDirectory(revisions, _routes(50, "header:x-tenant"))
    router = Router(directory, pins=True, draw=lambda: next(draws))
    assert _versions(router, [Keys(), Keys()]) == [2, 1]
    keyed = [Keys(headers={"x-tenant": "acme"})] * 3
    assert len(set(_versions(router, keyed))) == 1


def test_a_conversation_keeps_its_name_over_its_turns() -> None:
    system = {"role": "system", "content": "Be brief."}
    answer = {"role": "assistant", "content": "Paris."}
    first = conversation([system, _FRANCE])
    assert first is not None
    assert conversation([system, _FRANCE, answer, {"role": "user", "content": "Why?"}]) == first
    assert conversation([_FRANCE]) != first
    assert conversation([system]) is None


def test_a_version_that_is_ready_nowhere_is_stood_in_for(revisions: dict[int, Revision]) -> None:
    directory = FakeDirectory(revisions, _routes(100))
    router = Router(directory, pins=True)
    directory.down = {2}
    assert _ask(router).revision.version == 1
    directory.down = {1}
    assert _ask(router).revision.version == 2
    # No version is ready, so the chosen one reports the error itself.
    directory.down = {1, 2, 3}
    assert _ask(router).revision.version == 2


def test_a_failed_request_goes_to_another_version_of_the_routes(
    revisions: dict[int, Revision],
) -> None:
    directory = FakeDirectory(revisions, _routes(100))
    router = Router(directory, pins=True)
    route = _ask(router)
    other = router.elsewhere(route)
    assert other is not None
    assert (other.revision.version, other.rollout, other.generation) == (1, "r-1", 7)
    back = router.elsewhere(other)
    assert back is not None
    assert back.revision.version == 2
    directory.down = {1}
    # Version 3 is loaded, but no request may come to it.
    assert router.elsewhere(route) is None


def test_a_pinned_request_goes_nowhere_else(revisions: dict[int, Revision]) -> None:
    router = Router(FakeDirectory(revisions, _routes(50)), pins=True)
    assert router.elsewhere(_ask(router, "m@2")) is None
