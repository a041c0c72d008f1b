"""A program: it holds the lease and stops itself (SIGSTOP) in the middle of each of its writes.

It stops after it has compared its lease and before the write reaches what is written. The test
lets another holder in meanwhile and continues this process; it prints a line for each write.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from enginehouse.model_repository.repository import ModelRepository
from enginehouse.registry import Registry
from enginehouse.registry.controller.debts import Debts
from enginehouse.registry.controller.fencing import FencedRegistry, LeaseFence
from enginehouse.registry.controller.lease import Lease
from enginehouse.registry.controller.placement import Placement
from enginehouse.registry.controller.replica_plan import ReplicaTarget
from enginehouse.registry.history import History
from enginehouse.registry.release_state import ReleaseEvent, ReleaseState
from enginehouse.registry.rollouts.state import Phase, RolloutStatus
from sqlalchemy import event
from sqlalchemy.orm import Session

from enginehouse.errors import LeaseLostError
from enginehouse.settings import Settings
from enginehouse.traffic import Routes
from enginehouse.traffic.routes import Arm, write_routes

_armed = False


def _stop_once(*_: object) -> None:
    global _armed  # noqa: PLW0603 - one switch of one small program
    if _armed:
        _armed = False
        os.kill(os.getpid(), signal.SIGSTOP)


@contextmanager
def _stopping_at_locks() -> Iterator[None]:
    flock = fcntl.flock

    def stopping(*arguments: Any) -> None:
        _stop_once()
        flock(*arguments)

    fcntl.flock = stopping
    yield
    fcntl.flock = flock


def _writes(settings: Settings, lease: Lease) -> dict[str, Callable[[], object]]:
    """What a controller does under the lease of now, by name."""
    registry = FencedRegistry(settings, lease)
    fence = LeaseFence(lease, (settings.routes_dir, settings.model_repository_dir))
    history = History(registry)
    run = history.open(_status("first"), "rollout")
    routes = Routes(model="m", generation=99, champion=3, arms=(Arm(version=3, weight=100),))
    bundle: Any = SimpleNamespace(fetch=None, path=lambda *_: Path("/nowhere"))
    placement = Placement(
        bundle, ModelRepository(settings.model_repository_dir), lambda e: e, fence
    )

    def publish() -> None:
        with fence.writing(settings.routes_dir):
            write_routes(settings.routes_dir, routes)

    refused = ReleaseState(aliases={"champion": 1, "challenger": 2}, owed_aliases=True)
    return {
        "state": lambda: registry.set_model_tag("m", "enginehouse.release", "{}"),
        "alias": lambda: registry.set_alias("m", "champion", 3),
        "alias gone": lambda: registry.delete_alias("m", "champion"),
        "aliases": lambda: Debts(registry).pay("m", refused),
        "version tag": lambda: registry.set_version_tag("m", 1, "enginehouse.refused", "no"),
        "a release's run": lambda: history.open(_status("second"), "rollout"),
        "a release's event": lambda: history.log(run, _EVENT),
        "routes": publish,
        "model repository": lambda: placement.write_versions("m", [1]),
        "everything wanted": lambda: placement.write(
            "m", ReplicaTarget(frozenset(), None, None, False)
        ),
    }


_EVENT = ReleaseEvent(number=7, at=1.0, kind="step", phase="stepping", weights={1: 100})


def _status(name: str) -> RolloutStatus:
    return RolloutStatus(
        id=name,
        model="m",
        champion=1,
        challenger=2,
        phase=Phase.PREPARING,
        started_at=1.0,
        step_started_at=1.0,
        actor="ada",
    )


def main() -> None:
    """Try every write once; wait for a line before each."""
    global _armed  # noqa: PLW0603 - one switch of one small program
    settings = Settings(home=Path(sys.argv[1]))
    event.listen(Session, "before_flush", _stop_once)
    lease = Lease(Registry(settings), "http://first", 2.0)
    with _stopping_at_locks():
        for number in range(100):
            if not sys.stdin.readline():
                return
            if not lease.acquire():
                raise AssertionError("the lease was let go for this process")
            kinds = _writes(settings, lease)
            if number >= len(kinds):
                print("done", flush=True)
                return
            name, write = list(kinds.items())[number]
            _armed = True
            try:
                write()
            except LeaseLostError:
                print(f"{name}: refused", flush=True)
            else:
                print(f"{name}: written", flush=True)


if __name__ == "__main__":
    main()
