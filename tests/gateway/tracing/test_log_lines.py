from __future__ import annotations

import json
import logging
import sys

from enginehouse.api.tracing.logs import JsonLines, described

from enginehouse.errors import StoreError


def _raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as found:
        return found


def test_a_line_is_one_json_object_whatever_the_message_holds() -> None:
    record = logging.LogRecord("a.b", logging.ERROR, "f", 1, 'a "%s"\n\x00', ("x",), None)
    line = JsonLines().format(record)
    assert "\n" not in line
    read = json.loads(line)
    assert (read["level"], read["logger"], read["message"]) == ("error", "a.b", 'a "x"\n\x00')
    assert not read.keys() & {"request_id", "trace_id", "exception"}


def test_an_exception_has_its_causes_without_their_words() -> None:
    error = StoreError("a-secret")
    error.__cause__ = _raised(KeyError("a-secret"))
    try:
        raise error
    except StoreError:
        record = logging.LogRecord("a", logging.ERROR, "f", 1, "failed", (), sys.exc_info())
    lines = json.loads(JsonLines().format(record))["exception"]
    kinds = [line for line in lines if not line.startswith("at ")]
    assert kinds == ["enginehouse.errors.StoreError", "builtins.KeyError"]
    assert any("in _raised" in line for line in lines)
    assert "a-secret" not in str(lines)


def test_the_operating_systems_words_are_kept() -> None:
    assert described(OSError(28, "No space left on device", "/x"))[0].endswith(
        ": No space left on device"
    )


def test_causes_that_go_in_a_circle_come_to_an_end() -> None:
    first, second = ValueError(), TypeError()
    first.__cause__, second.__cause__ = second, first
    assert described(first) == ["builtins.ValueError", "builtins.TypeError"]
