"""The adapter's log lines: which request and trace they belong to, and nothing that callers wrote.

An exception is written with its kind and its place. Its words are left out unless it is the
operating system's: they may repeat a prompt, as those of parsers and databases do.
"""

from __future__ import annotations

import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO

import orjson
from enginehouse.api.tracing.access_log import ACCESS_LOGGER
from enginehouse.api.tracing.context import current_request

from enginehouse.telemetry import LogFormat
from enginehouse.urls import redacted


def configure_logs(log_format: LogFormat, stream: TextIO | None = None) -> None:
    """Write all log records of this process that are warnings or worse, and the access log.

    Args:
        stream: None is the standard error stream.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if log_format is LogFormat.JSON else TextLines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(ACCESS_LOGGER).setLevel(logging.INFO)


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """``time`` is UTC; ``request_id`` and ``trace_id`` are there where they are known."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        line |= _where()
        fields = getattr(record, "fields", None)
        if fields is None:
            line["message"] = redacted(record.getMessage())
        else:
            line |= {"message": "request", **fields}
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = described(record.exc_info[1])
        return orjson.dumps(line, default=str).decode()


class TextLines(logging.Formatter):
    """One line for a reader, and below it the places of an exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, logger, request id, message."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        where = "".join(f" {name}={value}" for name, value in _where().items())
        text = f"{time} {record.levelname} {record.name}{where}: {redacted(record.getMessage())}"
        if record.exc_info and record.exc_info[1] is not None:
            text += "\n" + "\n".join(f"  {line}" for line in described(record.exc_info[1]))
        return text


def described(error: BaseException) -> list[str]:
    """Kind and place of an exception and of what caused it, the latest first."""
    lines: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        kind = f"{type(current).__module__}.{type(current).__qualname__}"
        words = f": {current.strerror}" if isinstance(current, OSError) else ""
        lines.append(kind + words)
        frames = traceback.extract_tb(current.__traceback__)
        lines += [f"at {f.filename}:{f.lineno} in {f.name}" for f in reversed(frames)]
        current = current.__cause__ or (
            None if current.__suppress_context__ else current.__context__
        )
    return lines


def _where() -> dict[str, str]:
    request = current_request()
    if request is None:
        return {}
    trace = {} if request.trace_id is None else {"trace_id": request.trace_id}
    return {"request_id": request.request_id, **trace}
