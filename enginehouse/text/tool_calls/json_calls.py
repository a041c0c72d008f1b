"""Incremental parser of calls written as JSON objects: `{"name": …, "arguments": {…}}`."""

from __future__ import annotations

import json
from collections.abc import Callable

from enginehouse.text.tool_calls.deltas import END, CallWriter, NotACallError, Reading
from enginehouse.text.tool_calls.reader import SPACE

_ARGUMENTS = frozenset({"arguments", "parameters"})
#: Keys that some models add and that carry no information.
_OTHER = frozenset({"id", "index", "type"})


def space(calls: CallWriter) -> Reading[str]:
    """Skip white space; returns the next character without consuming it."""
    while (character := (yield from calls.peek())) in SPACE:
        yield from calls.take()
    return character


def expect(calls: CallWriter, literal: str) -> Reading[None]:
    """Consume exactly these characters.

    Raises:
        NotACallError: if the text differs.
    """
    for wanted in literal:
        if (yield from calls.take()) != wanted:
            raise NotACallError


def call_list(calls: CallWriter) -> Reading[None]:
    """Read ``[{…}, {…}]`` with at least one call.

    Raises:
        NotACallError: if it is something else.
    """
    yield from expect(calls, "[")
    while True:
        yield from space(calls)
        yield from call_object(calls)
        character = yield from space(calls)
        if character != ",":
            break
        yield from calls.take()
    yield from expect(calls, "]")
    calls.keep()


def call_object(calls: CallWriter) -> Reading[None]:
    """Read one call as a JSON object; its arguments are streamed if the name comes first.

    Raises:
        NotACallError: if it is something else.
    """
    yield from expect(calls, "{")
    name, held, began = None, None, False
    while (yield from space(calls)) != "}":
        key = yield from _string(calls)
        yield from space(calls)
        yield from expect(calls, ":")
        yield from space(calls)
        if key == "name" and name is None:
            name = yield from _string(calls)
            calls.check(name)
        elif key in _ARGUMENTS and name is not None and not began:
            yield from arguments(calls, name)
            began = True
        elif key in _ARGUMENTS and held is None and not began:
            held = yield from _value(calls)
        elif key in _OTHER:
            yield from _value(calls)
        else:
            raise NotACallError
        if (yield from space(calls)) == ",":
            yield from calls.take()
        elif (yield from calls.peek()) != "}":
            raise NotACallError
    yield from expect(calls, "}")
    if name is None:
        raise NotACallError
    if not began:
        whole = _object("null" if held is None else held)
        calls.begin(name)
        calls.argue(whole)
    calls.keep()


def arguments(calls: CallWriter, name: str) -> Reading[None]:
    """Begin a call and read its arguments.

    Raises:
        NotACallError: if they are not an object.
    """
    if (yield from calls.peek()) != "{":
        whole = _object((yield from _value(calls)))
        calls.begin(name)
        calls.argue(whole)
        return
    calls.begin(name)
    yield from _container(calls, calls.argue)


def _object(written: str) -> str:
    """JSON of an object, from the object itself, from a string that contains it, or from null.

    Raises:
        NotACallError: if it is something else.
    """
    try:
        value = json.loads(written)
        if isinstance(value, str):
            written, value = value, json.loads(value)
            # Half of a surrogate pair cannot be sent.
            written.encode()
    except (ValueError, RecursionError):
        raise NotACallError from None
    if value is None:
        return "{}"
    if not isinstance(value, dict):
        raise NotACallError
    return written


def _string(calls: CallWriter) -> Reading[str]:
    written = yield from _quoted(calls)
    try:
        text = json.loads(written)
    except ValueError:
        raise NotACallError from None
    assert isinstance(text, str)  # noqa: S101 - it stands in quotes
    return text


def _quoted(calls: CallWriter) -> Reading[str]:
    yield from expect(calls, '"')
    parts = ['"']
    while True:
        character = yield from calls.take()
        parts.append(character)
        if character == "\\":
            parts.append((yield from calls.take()))
        elif character == '"':
            return "".join(parts)
        if parts[-1] == END:
            raise NotACallError


def _value(calls: CallWriter) -> Reading[str]:
    first = yield from calls.peek()
    if first == '"':
        return (yield from _quoted(calls))
    parts: list[str] = []
    if first in {"{", "["}:
        yield from _container(calls, parts.append)
    else:
        while (character := (yield from calls.peek())) not in SPACE and character not in ",}]":
            parts.append((yield from calls.take()))
    return "".join(parts)


def _container(calls: CallWriter, give: Callable[[str], None]) -> Reading[None]:
    """Read an object or a list up to its end, and emit each character immediately.

    As in OpenAI's API the model's arguments are not validated; callers have to do that.

    Raises:
        NotACallError: if the answer ends before it.
    """
    depth, quoted, escaped = 0, False, False
    while True:
        character = yield from calls.take()
        if character == END:
            raise NotACallError
        give(character)
        if escaped:
            escaped = False
        elif quoted:
            escaped, quoted = character == "\\", character != '"'
        elif character == '"':
            quoted = True
        elif character in "{[":
            depth += 1
        elif character in "}]":
            depth -= 1
            if not depth:
                return
