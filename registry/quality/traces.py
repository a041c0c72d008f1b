"""The quality log: sampled and redacted requests with their answers, stored as MLflow traces.

Opt-in (`ENGINEHOUSE_TRACE_SHARE`). A background thread writes; a request only enqueues its record.
SQLite takes about 45 a second. Records that do not fit into the queue are dropped and counted.
"""

from __future__ import annotations

import json
import logging
import queue
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from enginehouse.registry.quality.tracking import open_mlflow
from enginehouse.registry.store import Registry

from enginehouse.errors import EnginehouseError
from enginehouse.settings import Settings
from enginehouse.supervision import start_thread
from enginehouse.text.redaction import redact_messages, redacted_beginning

_log = logging.getLogger(__name__)
_QUEUE = 256
_PAGE = 200
_NANOSECONDS = 1_000_000_000
_MILLISECONDS = 1000
_ATTRIBUTES = "enginehouse."


@dataclass(frozen=True, slots=True)
class TraceRecord:
    """One request with its answer.

    Attributes:
        at: when the request began, seconds since the epoch.
        total_s: duration of the request.
    """

    at: float
    request_id: str
    model: str
    version: int
    messages: tuple[dict[str, str], ...]
    answer: str
    finish: str | None
    prompt_tokens: int
    completion_tokens: int
    total_s: float

    @property
    def prompt(self) -> str:
        """The last user message."""
        said = [m["content"] for m in self.messages if m.get("role") == "user"]
        return said[-1] if said else ""


class TraceWriter:
    """Writes records in a background thread.

    Attributes:
        share: share of requests to record, 0 to 1; at 0 no thread is started.
        dropped: records dropped because the queue was full.
        failed: records that MLflow did not accept.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        on_drop: Callable[[], None] = lambda: None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.share = settings.api.trace_share
        self.dropped = 0
        self.failed = 0
        self._settings = settings
        self._on_drop = on_drop
        self._chance = chance
        self._queue: queue.Queue[TraceRecord | None] = queue.Queue(_QUEUE)
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, if any requests are to be recorded."""
        if self.share > 0:
            self._thread = start_thread("traces", self._run)

    def wanted(self) -> bool:
        """Whether to record the next request; call once for each request."""
        return self._thread is not None and self._chance() < self.share

    def offer(self, record: TraceRecord) -> None:
        """Enqueue a record; never blocks."""
        try:
            self._queue.put_nowait(record)
        except queue.Full:
            self._drop()

    def close(self, timeout_s: float = 10.0) -> None:
        """Write the queued records and stop."""
        if self._thread is None:
            return
        try:
            self._queue.put(None, timeout=timeout_s)
        except queue.Full:
            self._drop()
        self._thread.join(timeout_s)
        self._thread = None

    def _drop(self) -> None:
        self.dropped += 1
        self._on_drop()

    def _run(self) -> None:
        # Import MLflow now: it takes over a second, which should not delay the first record.
        log = self._opened()
        while (record := self._queue.get()) is not None:
            log = log or self._opened()
            if log is None or not _written(log, record):
                self.failed += 1
                self._on_drop()

    def _opened(self) -> TraceLog | None:
        try:
            return TraceLog(self._settings)
        except EnginehouseError as error:
            _log.warning("no traces are kept: %s", error)
            return None


def _written(log: TraceLog, record: TraceRecord) -> bool:
    try:
        log.write(record)
    except EnginehouseError as error:
        _log.warning("a trace was not kept: %s", error)
        return False
    return True


class TraceLog:
    """The traces of all models in MLflow."""

    def __init__(self, settings: Settings) -> None:
        self._registry = Registry(settings)
        self._mlflow = open_mlflow(settings)
        self._experiments: dict[str, str] = {}

    def write(self, record: TraceRecord) -> None:
        """Store a record, redacted.

        Raises:
            RegistryError: if MLflow refuses or does not answer.
        """
        if record.model not in self._experiments:
            self._experiments[record.model] = self._registry.experiment(self._title(record.model))
        began = int(record.at * _NANOSECONDS)
        facts = {
            "version": record.version,
            "request_id": record.request_id,
            "prompt_tokens": record.prompt_tokens,
            "completion_tokens": record.completion_tokens,
        }
        with self._registry.session():
            span = self._mlflow.start_span_no_context(
                name="chat",
                span_type="CHAT_MODEL",
                inputs={"messages": redact_messages(record.messages)},
                attributes={f"{_ATTRIBUTES}{key}": value for key, value in facts.items()},
                tags={f"{_ATTRIBUTES}{key}": str(value) for key, value in facts.items()},
                experiment_id=self._experiments[record.model],
                start_time_ns=began,
            )
            outputs = {"answer": redacted_beginning(record.answer), "finish_reason": record.finish}
            span.end(outputs=outputs, end_time_ns=began + int(record.total_s * _NANOSECONDS))

    def read(self, model: str, *, since: float, until: float) -> Iterator[TraceRecord]:
        """Records of a model whose requests began in [since, until), newest first.

        Raises:
            RegistryError: if MLflow does not answer.
        """
        with self._registry.session() as client:
            experiment = client.get_experiment_by_name(self._title(model))
            if experiment is None:
                return
            window = (
                f"timestamp_ms >= {int(since * _MILLISECONDS)} AND "
                f"timestamp_ms < {int(until * _MILLISECONDS)}"
            )
            token = None
            while True:
                page = client.search_traces(
                    locations=[experiment.experiment_id],
                    filter_string=window,
                    max_results=_PAGE,
                    order_by=["timestamp_ms DESC"],
                    page_token=token,
                )
                yield from (_record(trace, model) for trace in page)
                token = page.token
                if not token:
                    return

    def _title(self, model: str) -> str:
        return f"enginehouse/{self._registry.registered_name(model)}/traces"


def _record(trace: Any, model: str) -> TraceRecord:
    span = trace.data.spans[0]
    inputs, outputs = _plain(span.inputs), _plain(span.outputs)

    def number(key: str) -> int:
        return int(span.get_attribute(f"{_ATTRIBUTES}{key}") or 0)

    return TraceRecord(
        at=trace.info.request_time / _MILLISECONDS,
        request_id=str(span.get_attribute(f"{_ATTRIBUTES}request_id") or ""),
        model=model,
        version=number("version"),
        messages=tuple(inputs.get("messages", ())),
        answer=str(outputs.get("answer", "")),
        finish=outputs.get("finish_reason"),
        prompt_tokens=number("prompt_tokens"),
        completion_tokens=number("completion_tokens"),
        total_s=(trace.info.execution_duration or 0) / _MILLISECONDS,
    )


def _plain(value: Any) -> dict[str, Any]:
    found = json.loads(value) if isinstance(value, str) else value
    return found if isinstance(found, dict) else {}
