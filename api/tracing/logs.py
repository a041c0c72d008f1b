"""The adapter's log format: each line has its request and trace id, and no text of a caller.

An exception is logged with its type and location. Its message is left out unless it comes from the
operating system, since messages of parsers and databases may contain parts of a prompt.
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
    """Log every record of this process at level warning or above, and the access log.

    Args:
        stream: None means the standard error stream.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if log_format is LogFormat.JSON else TextLines())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger(ACCESS_LOGGER).setLevel(logging.INFO)


class JsonLines(logging.Formatter):
    """Formats a record as one JSON object on a line."""

    def format(self, record: logging.LogRecord) -> str:
        """``time`` is in UTC; ``request_id`` and ``trace_id`` are present if they are known."""
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
    """Formats a record as a line of text, followed by the locations of an exception."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, logger, request id, message."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        where = "".join(f" {name}={value}" for name, value in _where().items())
        text = f"{time} {record.levelname} {record.name}{where}: {redacted(record.getMessage())}"
        if record.exc_info and record.exc_info[1] is not None:
            text += "\n" + "\n".join(f"  {line}" for line in described(record.exc_info[1]))
        return text


def described(error: BaseException) -> list[str]:
    """Type and location of an exception and of its causes, the latest first."""
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
