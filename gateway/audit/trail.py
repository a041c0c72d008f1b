"""A bounded queue of audit records, and the thread that writes them."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from enginehouse.gateway.audit.chain import AuditChain, Entry, InstanceLock
from enginehouse.gateway.audit.config import AuditConfig, Fsync, OnFull
from enginehouse.gateway.audit.digests import AuditTexts, said
from enginehouse.gateway.audit.metrics import AuditMetrics
from enginehouse.gateway.audit.records import AuditRecordKind
from prometheus_client import CollectorRegistry

from enginehouse.errors import StoreError
from enginehouse.supervision import start_thread

_log = logging.getLogger(__name__)
_SYNC_EVERY_S = 1.0
_CLOSE_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class AuditEvent:
    """A record to be written.

    Attributes:
        at: seconds since 1970 UTC.
        fields: JSON values, without any text of the caller.
        texts: prompt and answers; the configured policy decides what is recorded of them.
    """

    at: float
    fields: Mapping[str, Any]
    texts: AuditTexts
    size_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "size_bytes", self.texts.size_bytes)


class AuditTrail:
    """Queues events without blocking, and writes them in order.

    Attributes:
        instance: name under which it writes.
        failing: whether the last write failed.
    """

    def __init__(
        self, directory: Path, config: AuditConfig, key: bytes, registry: CollectorRegistry
    ) -> None:
        """Lock a name in the directory and start the writer thread.

        Raises:
            StoreError: if the directory cannot be used.
        """
        self._lock = InstanceLock(directory, config.instance)
        self.instance = self._lock.instance
        self.failing = False
        self._config = config
        self._key = key
        self._metrics = AuditMetrics(registry)
        self._chain = AuditChain(directory, self.instance, rotate_bytes=config.rotate_bytes)
        self._waiting: deque[AuditEvent] = deque()
        self._waiting_bytes = 0
        self._lost = 0
        self._ending = False
        self._changed = threading.Condition()
        self._unsynced_since: float | None = None
        self._thread = start_thread("audit-trail", self._run)

    def check(self) -> None:
        """Check that a call may be served.

        Raises:
            StoreError: if the trail cannot be written and `on_full` is ``stop``.
        """
        if self.failing and self._config.on_full is OnFull.STOP:
            raise StoreError(
                "the audit trail cannot be written right now, and `audit.on_full` is `stop`: "
                "try again later"
            ).told(None)

    def add(self, event: AuditEvent) -> None:
        """Queue an event. If the queue is full, the event is dropped and counted as lost."""
        with self._changed:
            full = len(self._waiting) >= self._config.queue_records
            size = self._waiting_bytes + event.size_bytes
            # An event that is larger than the whole queue is accepted while the queue is empty.
            if self._ending or full or (self._waiting and size > self._config.queue_bytes):
                self._lose(1)
                return
            self._waiting.append(event)
            self._waiting_bytes = size
            self._changed.notify()

    def close(self) -> None:
        """Write queued events and the closing record. Blocks."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        self._thread.join(_CLOSE_PATIENCE_S)
        if self._thread.is_alive():
            _log.error("the audit trail: the disk does not answer; its end is not written")
        else:
            self._lock.release()

    def _run(self) -> None:
        while self._wait():
            self._turn()
        while self._turn():
            pass
        try:
            self._chain.close()
        except OSError as error:
            self._failed(error)
        with self._changed:
            self._lose(len(self._waiting))
            self._waiting.clear()
            if self._lost:
                _log.critical("%d audit records are lost, and no gap says so", self._lost)

    def _wait(self) -> bool:
        """Wait until there is something to write; returns False when the trail is being closed."""
        with self._changed:
            if self.failing:
                # New events must not make the thread retry a full disk more often.
                self._changed.wait_for(lambda: self._ending, self._config.retry_s)
            else:
                self._changed.wait_for(
                    lambda: self._ending or self._waiting or self._lost, self._until_sync()
                )
            return not self._ending

    def _until_sync(self) -> float | None:
        if self._unsynced_since is None:
            return None
        return max(0.0, self._unsynced_since + _SYNC_EVERY_S - time.monotonic())

    def _turn(self) -> bool:
        """Write queued events, and a gap record for lost ones.

        Returns whether to retry immediately.
        """
        with self._changed:
            events, lost = list(self._waiting), self._lost
        try:
            entries = [self._entry(event) for event in events]
            if lost:
                entries.append((AuditRecordKind.GAP, time.time(), {"lost": lost}))
            if entries:
                self._chain.append(entries)
                self._written(events, lost)
            self._sync(wrote=bool(entries))
        except OSError as error:
            self._failed(error)
        except (TypeError, ValueError, RecursionError):
            return self._drop_unwritable(events)
        return False

    def _entry(self, event: AuditEvent) -> Entry:
        texts = said(event.texts, self._config.content, self._key)
        return AuditRecordKind.CALL, event.at, {**event.fields, **texts}

    def _sync(self, *, wrote: bool) -> None:
        policy = self._config.fsync
        if policy is Fsync.EACH and wrote:
            self._chain.sync()
        elif policy is Fsync.SECOND:
            if wrote and self._unsynced_since is None:
                self._unsynced_since = time.monotonic()
            if self._until_sync() == 0:
                self._unsynced_since = None
                self._chain.sync()

    def _written(self, events: list[AuditEvent], lost: int) -> None:
        with self._changed:
            for event in events:
                self._waiting.popleft()
                self._waiting_bytes -= event.size_bytes
            self._lost -= lost
        self._metrics.written.inc(len(events))
        if self.failing:
            self.failing = False
            self._metrics.failing.set(0)
            _log.warning("the audit trail is written again; %d records are lost", lost)

    def _drop_unwritable(self, events: list[AuditEvent]) -> bool:
        """Drop events that cannot be encoded as JSON; returns whether there were any."""
        dropped = False
        for event in events:
            try:
                json.dumps(self._entry(event)[2], default=str)
            except (TypeError, ValueError, RecursionError) as error:
                _log.error(
                    "an audit record cannot be written as JSON (%s) and is lost",
                    type(error).__name__,
                )
                with self._changed:
                    self._waiting.remove(event)
                    self._waiting_bytes -= event.size_bytes
                    self._lose(1)
                dropped = True
        return dropped

    def _failed(self, error: OSError) -> None:
        self._metrics.failures.inc()
        if not self.failing:
            self.failing = True
            self._metrics.failing.set(1)
            _log.error(
                "the audit trail cannot be written: %s; calls %s",
                error.strerror,
                "are refused" if self._config.on_full is OnFull.STOP else "go on",
            )

    def _lose(self, count: int) -> None:
        """Count lost records. The caller holds the lock."""
        if count:
            self._lost += count
            self._metrics.lost.inc(count)
            self._changed.notify()
