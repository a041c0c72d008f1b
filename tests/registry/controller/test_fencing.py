"""A controller that lost the lease writes nothing, however it was stopped."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from enginehouse.registry import Registry
from enginehouse.registry.controller.directory_mark import DirectoryMark
from enginehouse.registry.controller.fencing import FencedRegistry, LeaseFence
from enginehouse.registry.controller.lease import Bid, Lease
from enginehouse.registry.release_state import TAG_RELEASE, ReleaseState, state_of
from enginehouse.stack.process import ManagedProcess

from enginehouse.errors import LeaseLostError
from enginehouse.settings import Settings
from tests.conftest import free_ports, wait_until
from tests.registry.controller.fakes import World

_ROOT = Path(__file__).parents[3]
_LONG_S = 60.0


def _three_versions(registry: Registry) -> None:
    with registry.session() as client:
        client.create_registered_model("m")
        for _ in range(3):
            client.create_model_version("m", source="enginehouse:/nowhere")
        client.set_registered_model_alias("m", "champion", "1")


def _everything(registry: Registry, settings: Settings) -> dict[str, Any]:
    """All that a controller writes."""
    with registry.session() as client:
        model = client.get_registered_model("m")
        versions = client.search_model_versions("name='m'")
        experiments = client.search_experiments()
        runs = client.search_runs([e.experiment_id for e in experiments])
    kept = {".enginehouse.lease.json", ".enginehouse.lease.lock"}
    return {
        "tags": dict(model.tags),
        "aliases": dict(model.aliases),
        "versions": {v.version: dict(v.tags) for v in versions},
        "runs": {run.info.run_id: dict(run.data.tags) for run in runs},
        "files": {
            str(path): path.read_text()
            for directory in (settings.routes_dir, settings.model_repository_dir)
            for path in directory.rglob("*")
            if path.is_file() and path.name not in kept
        },
    }


def _stopped(pid: int) -> bool:
    return psutil.Process(pid).status() == psutil.STATUS_STOPPED


@pytest.fixture
def writer(settings: Settings, own: Registry) -> Iterator[subprocess.Popen[str]]:
    _three_versions(own)
    program = [sys.executable, "-m", "tests.registry.controller.stopped_writer", settings.home]
    with subprocess.Popen(
        program, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def test_whatever_it_was_about_to_write_when_it_was_stopped_is_refused(
    writer: subprocess.Popen[str], settings: Settings, own: Registry
) -> None:
    assert writer.stdin is not None
    assert writer.stdout is not None
    outcomes = []
    while True:
        writer.stdin.write("go\n")
        writer.stdin.flush()
        wait_until(
            lambda: _stopped(writer.pid) or _said(writer), "the writer to stop before its write"
        )
        if not _stopped(writer.pid):
            assert writer.stdout.readline() == "done\n"
            break
        second = Lease(own, "http://second", _LONG_S)
        wait_until(second.acquire, "the lease of the stopped writer to run out")
        LeaseFence(second, (settings.routes_dir, settings.model_repository_dir))
        before = _everything(own, settings)
        os.kill(writer.pid, signal.SIGCONT)
        outcomes.append(writer.stdout.readline())
        assert _everything(own, settings) == before, outcomes[-1]
        second.release()
    assert len(outcomes) == 10
    assert all(line.endswith(": refused\n") for line in outcomes), outcomes


def _said(writer: subprocess.Popen[str]) -> bool:
    return bool(select.select([writer.stdout], [], [], 0)[0])


@pytest.mark.slow(reason="two controllers live through their leases, half a minute and timed")
def test_a_controller_that_is_continued_stands_by_and_the_other_ones_state_stays(
    settings: Settings, own: Registry, tmp_path: Path
) -> None:
    _three_versions(own)
    with ExitStack() as started:
        first, there = _controller(started, settings, tmp_path / "first.log")
        wait_until(lambda: TAG_RELEASE in own.snapshot()["m"].tags, "the first to write")
        second, here = _controller(started, settings, tmp_path / "second.log")
        os.kill(first.pid, signal.SIGSTOP)
        wait_until(lambda: _acting(here), "the second to act")
        own.set_alias("m", "challenger", 2)
        epoch = Lease(own, "", 1.0).holder()
        assert epoch is not None

        def taken_over() -> bool:
            state = state_of(own.snapshot()["m"].tags, "m")
            return state.epoch == epoch.epoch and state.rollout is not None

        wait_until(taken_over, "the second to write")
        os.kill(first.pid, signal.SIGCONT)
        wait_until(lambda: not _acting(there), "the first to stand by")
        assert taken_over()
        assert second.running()


def _controller(started: ExitStack, settings: Settings, log: Path) -> tuple[ManagedProcess, str]:
    port = free_ports(1)[0]
    env = {
        **os.environ,
        "ENGINEHOUSE_HOME": str(settings.home),
        "ENGINEHOUSE_CONTROLLER_PORT": str(port),
        "ENGINEHOUSE_FLEET": f"127.0.0.1:{free_ports(1)[0]}",
        "ENGINEHOUSE_LEASE_S": "15",
        "ENGINEHOUSE_TICK_S": "0.1",
    }
    argv = [sys.executable, "-m", "enginehouse", "controller"]
    process = ManagedProcess(log.stem, argv, env, log)
    started.callback(process.kill)
    return process, f"http://127.0.0.1:{port}"


def _acting(url: str) -> bool:
    try:
        answer = httpx.get(f"{url}/health/live", timeout=5.0, trust_env=False)
    except httpx.HTTPError:
        return False
    return bool(answer.json()["acting"])


def test_a_registry_that_is_fenced_writes_only_while_its_bid_exists(
    own: Registry, settings: Settings
) -> None:
    _three_versions(own)
    lease = Lease(own, "http://first", _LONG_S)
    assert lease.acquire()
    fenced = FencedRegistry(settings, lease)
    fenced.set_alias("m", "champion", 2)
    with own.session() as client:
        client.delete_model_version("enginehouse.lease", str(lease.epoch))
    with pytest.raises(LeaseLostError, match=r"epoch 1 was taken over.*nothing was written"):
        fenced.set_alias("m", "champion", 3)
    assert fenced.snapshot()["m"].aliases == {"champion": 2}
    assert not lease.held


def test_a_record_that_a_server_took_too_late_is_undone_with_its_aliases(
    own: Registry,
) -> None:
    _three_versions(own)
    world = World(own)
    releases = world.controller("m", epoch=5)
    world.tick(releases, 1000.0)
    world.tick(releases, 1001.0)
    ours = state_of(own.snapshot()["m"].tags, "m")
    assert ours.epoch == 5
    late = ReleaseState(
        generation=ours.generation + 9, epoch=4, champion=3, aliases={"champion": 3}
    )
    own.set_model_tag("m", TAG_RELEASE, late.model_dump_json())
    own.set_alias("m", "champion", 3)
    world.tick(releases, 1002.0)
    now = state_of(own.snapshot()["m"].tags, "m")
    assert (now.epoch, now.champion) == (5, 1)
    assert now.generation > late.generation
    assert own.snapshot()["m"].aliases == {"champion": 1}


def test_a_controller_refuses_a_state_of_a_later_holder(own: Registry) -> None:
    _three_versions(own)
    world = World(own)
    releases = world.controller("m", epoch=5)
    world.tick(releases, 1000.0)
    later = ReleaseState(generation=99, epoch=6, champion=2, aliases={"champion": 2})
    own.set_model_tag("m", TAG_RELEASE, later.model_dump_json())
    with pytest.raises(LeaseLostError, match="epoch 6"):
        world.tick(releases, 1001.0)
    assert state_of(own.snapshot()["m"].tags, "m") == later


def test_the_first_write_of_a_holder_outdates_the_routes_of_the_one_before(own: Registry) -> None:
    _three_versions(own)
    world = World(own)
    world.tick(world.controller("m", epoch=1), 1000.0)
    assert world.routes is not None
    before = world.routes.generation
    world.tick(world.controller("m", epoch=2), 1001.0)
    assert world.routes.generation > before


def test_a_mark_is_the_last_holders_and_a_lease_that_was_made_anew_begins_again(
    tmp_path: Path,
) -> None:
    old, new = (DirectoryMark(tmp_path, Bid("enginehouse.lease", 1, n)) for n in (3, 4))
    old.take()
    new.take()
    with pytest.raises(LeaseLostError, match=r"marked by epoch 4 .* not by epoch 3"):
        old.check()
    with pytest.raises(LeaseLostError), old.locked():
        raise AssertionError("it must not be entered")
    with pytest.raises(LeaseLostError):
        old.take()
    again = DirectoryMark(tmp_path, Bid("enginehouse.lease", 2, 1))
    again.take()
    with pytest.raises(LeaseLostError):
        new.check()
    shutil.rmtree(tmp_path)
    with pytest.raises(LeaseLostError, match="marked by nobody"), again.locked():
        raise AssertionError("it must not be entered")


def test_environments_mark_one_directory_beside_each_other(tmp_path: Path) -> None:
    one = DirectoryMark(tmp_path, Bid("enginehouse.lease.staging", 1, 7))
    other = DirectoryMark(tmp_path, Bid("enginehouse.lease.production", 1, 2))
    one.take()
    other.take()
    with one.locked():
        one.check()
    other.check()
