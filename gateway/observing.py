"""What else may follow an attempt, beside it and never in its way."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from enginehouse.api.call import Attempted
from enginehouse.api.generation import TextChunk

from enginehouse.traffic import Feedback, RequestSample

_log = logging.getLogger(__name__)


class Follower(Protocol):
    """Follows one attempt. It must not raise."""

    def see(self, piece: TextChunk) -> None:
        """Text is on its way to the caller."""
        ...

    def end(self, sample: RequestSample) -> None:
        """The attempt has ended."""
        ...


class Observer(Protocol):
    """Decides which attempts it follows."""

    def begin(self, attempt: Attempted) -> Follower | None:
        """An attempt is about to be made; None if it is not followed."""
        ...


@dataclass(slots=True)
class Observers:
    """Offered by the stage that keeps samples; other stages add their own observers.

    Attributes:
        keep: takes a sample that an observer has made.
        of_request: id of a response → its sample, if it is still in memory.
    """

    keep: Callable[[RequestSample | Feedback], None]
    of_request: Callable[[str], RequestSample | None]
    _observers: list[Observer] = field(default_factory=list)

    def add(self, observer: Observer) -> None:
        """Have an observer see each attempt."""
        self._observers.append(observer)

    def begin(self, attempt: Attempted) -> list[Follower]:
        """The followers of an attempt; what fails beside a request is only logged."""
        found: list[Follower] = []
        for observer in self._observers:
            try:
                follower = observer.begin(attempt)
            except Exception:  # noqa: BLE001 - it must not cost the request
                _log.exception("a request is not followed")
                continue
            if follower is not None:
                found.append(_Guarded(follower))
        return found


@dataclass(slots=True)
class _Guarded:
    """A follower whose failures end nothing but its own work."""

    follower: Follower | None

    def see(self, piece: TextChunk) -> None:
        if self.follower is not None:
            try:
                self.follower.see(piece)
            except Exception:  # noqa: BLE001 - it must not cost the request
                self._give_up()

    def end(self, sample: RequestSample) -> None:
        if self.follower is not None:
            try:
                self.follower.end(sample)
            except Exception:  # noqa: BLE001 - it must not cost the request
                self._give_up()

    def _give_up(self) -> None:
        self.follower = None
        _log.exception("a request was not followed to its end")
