"""Requests that a gathering model waits for, and how they end early.

A request of these models is another one to the engine, which knows nothing of the first one's
client. So it has an id of its own there, and the engine's `stop` with that id ends it when the
client has gone, or when the client's own id is stopped.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from enginehouse.errors import QueueFullError

_log = logging.getLogger(__name__)
_LOOK_EVERY_S = 0.2


@dataclass(slots=True, eq=False)
class ActiveRequest:
    """One request under way.

    Attributes:
        client_id: as the client named it; may be empty, and need not be unique.
        engine_id: as the engine knows it.
        cancelled: whether the client has gone.
        ending: the engine is told to stop it, until it has.
        lock: held while `cancelled` is asked, which nobody may do once the request has left.
    """

    client_id: str
    engine_id: str
    cancelled: Callable[[], bool]
    ending: bool = False
    left: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def to_end(self) -> bool:
        """Whether the engine is to be told to stop it."""
        with self.lock:
            if not self.left:
                self.ending = self.ending or self.cancelled()
            return self.ending and not self.left


class UnderWay:
    """All requests of one model; methods may be called from any thread."""

    def __init__(self, most: int, stop: Callable[[str], None]) -> None:
        """Begin to watch.

        Args:
            most: requests at a time; one more is refused.
            stop: tells the engine to end the requests with an id.
        """
        self._most = most
        self._stop = stop
        self._entries: set[ActiveRequest] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._watch, name="under-way", daemon=True)
        self._thread.start()

    def enter(self, client_id: str, cancelled: Callable[[], bool]) -> ActiveRequest:
        """Add a request.

        Raises:
            QueueFullError: if too many are under way.
        """
        entry = ActiveRequest(client_id, f"whole-{uuid.uuid4().hex}", cancelled)
        with self._lock:
            if len(self._entries) >= self._most:
                raise QueueFullError(f"{self._most} requests are under way; try again later")
            self._entries.add(entry)
        self._wake.set()
        return entry

    def leave(self, entry: ActiveRequest) -> None:
        """A request is about to be answered; it is not asked after again."""
        with entry.lock:
            entry.left = True
        with self._lock:
            self._entries.discard(entry)

    def stop(self, client_id: str) -> None:
        """End the requests that a client named `client_id`."""
        for entry in self._now():
            if client_id and entry.client_id == client_id:
                entry.ending = True
        self._wake.set()

    def close(self) -> None:
        """Stop watching."""
        self._closing = True
        self._wake.set()
        self._thread.join()

    def _now(self) -> list[ActiveRequest]:
        with self._lock:
            return list(self._entries)

    def _watch(self) -> None:
        """The engine is told again until the answer is there: it may not have the request yet."""
        while not self._closing:
            self._wake.wait(_LOOK_EVERY_S if self._now() else None)
            self._wake.clear()
            for entry in self._now():
                if entry.to_end():
                    self._end(entry)

    def _end(self, entry: ActiveRequest) -> None:
        try:
            self._stop(entry.engine_id)
        except Exception:  # noqa: BLE001 - the next look tries again, and others are watched too
            _log.warning("the engine could not be told to stop %s", entry.engine_id, exc_info=True)
