"""Whatever the order of their steps: an epoch never writes after a higher one has written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from enginehouse.registry.controller.lease import Lease
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

_DURATION_S = 10.0
_CONTROLLERS = 3
#: Deepest chain of controllers that were each stopped in the middle of something.
_DEPTH = 3
#: Who does what, the seconds that pass before it, and how many others are then stopped in the
#: middle of a step of theirs (0: nobody).
_Step = tuple[int, str, float, int]


class Server:
    """The few calls of MLflow that a lease needs; other controllers go on between any two."""

    environment = SimpleNamespace(prefix=None)

    def __init__(self, between: Callable[[], None]) -> None:
        self._between = between
        self._last = 0
        self.bids: dict[int, dict[str, str]] = {}
        #: Epochs in the order in which their writes were committed.
        self.written: list[int] = []

    @contextmanager
    def session(self) -> Iterator[Any]:
        yield self

    def create_registered_model(self, *_: Any, **__: Any) -> None:
        self._between()

    def get_registered_model(self, _: str) -> Any:
        return SimpleNamespace(creation_timestamp=1)

    def search_model_versions(self, *_: Any, **__: Any) -> list[Any]:
        self._between()
        return [SimpleNamespace(version=str(n), tags=dict(t)) for n, t in self.bids.items()]

    def create_model_version(self, _: str, source: str, tags: dict[str, str]) -> Any:
        self._between()
        self._last += 1
        self.bids[self._last] = tags
        return SimpleNamespace(version=str(self._last), source=source)

    def set_model_version_tag(self, _: str, version: str, key: str, value: str) -> None:
        self._between()
        self._existing(version)[key] = value

    def delete_model_version(self, _: str, version: str) -> None:
        self._between()
        self._existing(version)
        del self.bids[int(version)]

    def commit(self, epoch: int) -> None:
        """A write whose transaction reads the bid, see `sql_fence`."""
        self._between()
        if epoch in self.bids:
            self.written.append(epoch)

    def _existing(self, version: str) -> dict[str, str]:
        if int(version) not in self.bids:
            raise MlflowException("no such version", error_code=RESOURCE_DOES_NOT_EXIST)
        return self.bids[int(version)]


class World:
    """Controllers, one clock, and a story of who goes on when."""

    def __init__(self, story: list[_Step]) -> None:
        """`story`'s last step comes first."""
        self._story = story
        self._now = 1000.0
        self._depth = 0
        self.server = Server(self._others)
        registry: Any = self.server
        self._leases = [
            Lease(registry, str(n), _DURATION_S, clock=self._clock, wall_clock=self._clock)
            for n in range(_CONTROLLERS)
        ]

    def play(self) -> None:
        """All of the story; what is left in the middle of something ends last."""
        while self._story:
            self._next()

    def _clock(self) -> float:
        return self._now

    def _others(self) -> None:
        while self._story and self._story[-1][3] == self._depth:
            self._next()

    def _next(self) -> None:
        number, what, passes_s, _ = self._story.pop()
        self._now += passes_s
        self._depth += 1
        lease = self._leases[number]
        if what == "release":
            lease.release()
        elif what == "write":
            epoch = lease.epoch
            if lease.keep(epoch):
                self.server.commit(epoch)
        else:
            lease.acquire()
        self._depth -= 1


_STEPS = st.tuples(
    st.integers(0, _CONTROLLERS - 1),
    st.sampled_from(["acquire", "acquire", "write", "write", "release"]),
    st.sampled_from([0.0, 0.0, 1.0, _DURATION_S / 2, 2 * _DURATION_S]),
    st.integers(0, _DEPTH),
)


@settings(max_examples=1000, deadline=None)
@given(st.lists(_STEPS, min_size=5, max_size=40))
def test_epochs_write_in_their_order(story: list[_Step]) -> None:
    world = World(story)
    world.play()
    assert world.server.written == sorted(world.server.written)


def test_a_write_that_was_held_up_behind_a_later_holders_is_refused() -> None:
    steps: list[_Step] = [
        (0, "acquire", 0.0, 0),
        (0, "write", 0.0, 0),
        (0, "write", 0.0, 0),
        (1, "acquire", 2 * _DURATION_S, 1),
        (1, "write", 0.0, 1),
        (0, "write", 0.0, 0),
    ]
    world = World(steps[::-1])
    world.play()
    assert world.server.written == [1, 2]
