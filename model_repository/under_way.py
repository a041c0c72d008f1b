"""Tracks the requests of `<model>.whole`, and cancels them in the engine.

Each request of such a model becomes a second request to the engine, and the engine does not see
when the client of the first disconnects. The second request therefore has an id of its own. The
engine's `stop` with that id ends it when the client disconnects, or when the client's own id is
stopped.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from enginehouse.errors import QueueFullError
from enginehouse.supervision import start_thread

_log = logging.getLogger(__name__)
_LOOK_EVERY_S = 0.2


@dataclass(slots=True, eq=False)
class ActiveRequest:
    """One request that is being answered.

    Attributes:
        client_id: id given by the client; may be empty and need not be unique.
        engine_id: id of the request to the engine.
        cancelled: whether the client has disconnected. Must not be called after `left` is set.
        ending: whether the engine is to stop it.
        left: whether its last response is being sent.
        lock: held during each call of `cancelled`.
    """

    client_id: str
    engine_id: str
    cancelled: Callable[[], bool]
    ending: bool = False
    left: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def to_end(self) -> bool:
        """Whether a `stop` has to be sent to the engine."""
        with self.lock:
            if not self.left:
                self.ending = self.ending or self.cancelled()
            return self.ending and not self.left


class UnderWay:
    """All active requests of one model. Thread-safe."""

    def __init__(self, most: int, stop: Callable[[str], None]) -> None:
        """Start the thread that watches for disconnected clients.

        Args:
            most: most active requests; further ones are refused.
            stop: ends the engine's requests with an id.
        """
        self._most = most
        self._stop = stop
        self._entries: set[ActiveRequest] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._thread = start_thread("under-way", self._watch)

    def enter(self, client_id: str, cancelled: Callable[[], bool]) -> ActiveRequest:
        """Add a request.

        Raises:
            QueueFullError: if too many requests are active.
        """
        entry = ActiveRequest(client_id, f"whole-{uuid.uuid4().hex}", cancelled)
        with self._lock:
            if len(self._entries) >= self._most:
                raise QueueFullError(f"{self._most} requests are under way; try again later")
            self._entries.add(entry)
        self._wake.set()
        return entry

    def leave(self, entry: ActiveRequest) -> None:
        """Remove a request before its last response is sent; `cancelled` is not called again."""
        with entry.lock:
            entry.left = True
        with self._lock:
            self._entries.discard(entry)

    def stop(self, client_id: str) -> None:
        """End the requests with this client-given id."""
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
        """Send `stop` repeatedly until the request ends, since the engine may not have it yet."""
        while not self._closing:
            self._wake.wait(_LOOK_EVERY_S if self._now() else None)
            self._wake.clear()
            for entry in self._now():
                if entry.to_end():
                    self._end(entry)

    def _end(self, entry: ActiveRequest) -> None:
        try:
            self._stop(entry.engine_id)
        except Exception:  # noqa: BLE001 - retried in the next iteration; others must be watched
            _log.warning("the engine could not be told to stop %s", entry.engine_id, exc_info=True)
