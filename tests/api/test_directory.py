from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from enginehouse.api.directory import ModelDirectory
from enginehouse.api.metrics import ApiMetrics
from enginehouse.api.revision import Served
from enginehouse.api.route_files import RouteFiles
from enginehouse.client import AsyncFleetClient

from enginehouse.errors import BundleError, ModelNotFoundError
from enginehouse.retry import RetryPolicy
from enginehouse.supervision import SUPERVISOR
from enginehouse.traffic import Arm, Routes
from enginehouse.traffic.routes import write_routes
from tests.api.conftest import MakeRevision
from tests.client.fakes import FakeFleet, FakeReplica, generator


class _World:
    """A fleet, a directory of routes, and a model directory that looks when it is told to."""

    def __init__(
        self, replicas: list[FakeReplica], routes: Path, make: Callable[[str, int], Served]
    ) -> None:
        fake = FakeFleet(replicas)
        self.opened: list[int] = []
        self._make = make
        self._routes = routes
        self._files = RouteFiles(routes)
        self.fleet = AsyncFleetClient(fake, look_every_s=3600.0, connect=fake.connect)
        self.directory = ModelDirectory(self.fleet, self._files, self._open)

    def _open(self, name: str, version: int) -> Served:
        self.opened.append(version)
        return self._make(name, version)

    def route(self, generation: int, champion: int, *arms: int, model: str = "smollm2") -> None:
        shares = [Arm(version=v, weight=100 if v == champion else 0) for v in (champion, *arms)]
        routes = Routes(model=model, generation=generation, champion=champion, arms=tuple(shares))
        write_routes(self._routes, routes)

    async def look(self) -> None:
        self._files.poll()
        await self.fleet.look()
        await self.directory._look()

    def state(self, model: str = "smollm2") -> tuple[list[int], list[int]]:
        """Champions, and loaded versions of the model."""
        champions = [served.version for served in self.directory.models()]
        return champions, sorted(self.directory.revisions(model))


@pytest.fixture
def run(tmp_path: Path, make_revision: MakeRevision) -> Callable[..., None]:
    def run(
        test: Callable[[_World], Awaitable[None]],
        *replicas: FakeReplica,
        make: Callable[[str, int], Served] = make_revision,
    ) -> None:
        async def main() -> None:
            world = _World(list(replicas), tmp_path / "routes", make)
            async with world.fleet:
                await world.look()
                await test(world)

        asyncio.run(main())

    return run


def test_without_routes_the_pin_is_the_champion(run: Callable[..., None]) -> None:
    replica = generator(1, 2)

    async def test(world: _World) -> None:
        assert world.state() == ([1], [1, 2])
        replica.pins["smollm2"] = 2
        await world.look()
        assert world.state() == ([2], [1, 2])
        replica.loaded["smollm2.tensorrt_llm"] = {2}
        await world.look()
        assert world.state() == ([2], [2])
        # Each version was opened once.
        assert world.opened == [1, 2]

    run(test, replica)


def test_versions_of_all_replicas_can_be_spoken_to(run: Callable[..., None]) -> None:
    async def test(world: _World) -> None:
        assert world.state() == ([1], [1, 2, 3])
        assert world.directory.ready("smollm2") == {1, 2, 3}

    run(test, generator(1, 2), generator(1, 3))


def test_the_routes_champion_goes_before_the_pin_once_it_is_loaded(
    run: Callable[..., None],
) -> None:
    replica = generator(1)

    async def test(world: _World) -> None:
        world.route(1, 2, 1)
        await world.look()
        assert world.state() == ([1], [1])
        replica.loaded["smollm2.tensorrt_llm"].add(2)
        await world.look()
        assert world.state() == ([2], [1, 2])
        assert world.directory.applied()["smollm2"].generation == 1

    run(test, replica)


def test_an_engine_under_repair_is_down_and_not_gone(run: Callable[..., None]) -> None:
    replica = generator(1, 2)

    async def test(world: _World) -> None:
        replica.loaded["smollm2.tensorrt_llm"] = set()
        await world.look()
        assert world.state() == ([1], [1])
        assert world.directory.ready("smollm2") == frozenset()
        replica.dead = True
        await world.look()
        assert world.state() == ([1], [1])
        replica.dead = False
        replica.loaded = {}
        await world.look()
        assert world.state() == ([], [])

    run(test, replica)


def test_a_bundle_that_cannot_be_read_leaves_the_others(
    run: Callable[..., None], make_revision: MakeRevision
) -> None:
    def make(name: str, version: int) -> Served:
        if version == 2:
            raise BundleError("damaged")
        return make_revision(name, version)

    async def test(world: _World) -> None:
        assert world.state() == ([1], [1, 3])

    run(test, generator(1, 2, 3), make=make)


def test_an_unknown_model_names_those_that_there_are(run: Callable[..., None]) -> None:
    async def test(world: _World) -> None:
        with pytest.raises(ModelNotFoundError, match="models here: smollm2"):
            await world.directory.champion("gpt-5")

    run(test, generator(1))


def test_a_model_with_routes_and_no_version_is_not_loaded(run: Callable[..., None]) -> None:
    async def test(world: _World) -> None:
        assert world.directory.not_loaded() == []
        world.route(1, 1, model="other")
        await world.look()
        assert world.directory.not_loaded() == ["other"]

    run(test, generator(1))


def test_an_embedding_models_highest_version_serves(
    run: Callable[..., None],
) -> None:
    replica = FakeReplica({"minilm": {1, 2}}, embeddings=frozenset({"minilm"}))

    async def test(world: _World) -> None:
        assert world.state("minilm") == ([2], [1, 2])

    run(test, replica)


def test_an_error_that_nobody_foresaw_does_not_end_the_following(
    run: Callable[..., None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("enginehouse.supervision._RESTARTS", RetryPolicy(None, 0.0))
    before = SUPERVISOR.failures().get("model-directory", 0)
    poll = RouteFiles.poll
    polled = asyncio.Event()
    calls = 0

    def planted(files: RouteFiles) -> bool:
        nonlocal calls
        calls += 1
        if calls <= 2:
            raise ZeroDivisionError("nobody foresaw it")
        polled.set()
        return poll(files)

    async def test(world: _World) -> None:
        monkeypatch.setattr(RouteFiles, "poll", planted)
        async with world.directory:
            await polled.wait()
            assert SUPERVISOR.liveness()[0]["failing"] == {"model-directory": "ZeroDivisionError"}

    run(test, generator(1))
    assert SUPERVISOR.failures()["model-directory"] == before + 2
    assert "ZeroDivisionError: nobody foresaw it" in caplog.text


def test_the_metrics_page_counts_background_failures_once_however_often_it_is_read() -> None:
    SUPERVISOR.failed("planted", ValueError())
    SUPERVISOR.ended("planted")
    metrics = ApiMetrics()
    for _ in range(2):
        page = metrics.page().decode()
    assert 'enginehouse_background_failures_total{task="planted"} 1.0' in page
