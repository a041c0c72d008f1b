"""What the scenarios of a Python client share: it runs in the client's own environment.

The standard library alone. A script declares scenarios and ends with `run()`, which prints a line
of JSON for each: `{"scenario", "column", "ok", "detail", "limit"}`.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

BASE_URL = os.environ.get("MATRIX_BASE_URL", "")
ROOT_URL = BASE_URL.removesuffix("/v1")
MODEL = os.environ.get("MATRIX_MODEL", "smollm2")
EMBEDDING = os.environ.get("MATRIX_EMBEDDING", "minilm")
SCRATCH = os.environ.get("MATRIX_SCRATCH", "")
TOKENIZER = os.environ.get("MATRIX_TOKENIZER", "")
TRITON_HTTP = os.environ.get("MATRIX_TRITON_HTTP", "")
TRITON_GRPC = os.environ.get("MATRIX_TRITON_GRPC", "")
KEY = "unused"
#: Of one request; it only turns a hang into a failure.
TIMEOUT_S = 90.0
QUESTION = "What is the capital of France?"
AGAIN = "And which river runs through it?"
CITIES = ("Paris", "Lisbon")
DIMENSIONS = 384
#: More tokens than the model has places for.
TOO_LONG = "one two three four five six seven eight nine ten " * 1200
#: What the answer's reader must find in an overflow, wherever its SDK puts it.
OVERFLOW = "maximum context length"

MOOD: dict[str, Any] = {
    "type": "object",
    "properties": {
        "feeling": {"type": "string", "enum": ["glad", "sad"]},
        "strong": {"type": "boolean"},
    },
    "required": ["feeling", "strong"],
    "additionalProperties": False,
}
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": list(CITIES)}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}

Body = Callable[[], object]
_DETAIL_LENGTH = 400


@dataclass(frozen=True)
class Scenario:
    """One thing that a user of the client does."""

    name: str
    column: str
    body: Body
    limit: str | None


_SCENARIOS: list[Scenario] = []


class DifferentError(AssertionError):
    """An answer is not what the client's user expects."""


def scenario(name: str, *, column: str = "", limit: str | None = None) -> Callable[[Body], Body]:
    """Declare one.

    Args:
        column: of the table, if the scenario is one that every client is asked.
        limit: why it does not work and is not promised to.
    """

    def declare(body: Body) -> Body:
        _SCENARIOS.append(Scenario(name, column, body, limit))
        return body

    return declare


def check(condition: object, what: str) -> None:
    """Raise `DifferentError` with the sentence, unless the condition holds."""
    if not condition:
        raise DifferentError(what)


def same(found: object, expected: object, what: str) -> None:
    """Raise `DifferentError` that shows both values, unless they are equal."""
    check(found == expected, f"{what}: {found!r} is not {expected!r}")


def refused(kind: type[Exception], body: Body, *words: str) -> Exception:
    """The error that the body must raise, with all words in its text.

    Raises:
        DifferentError: if there is none, or it says something else.
    """
    try:
        body()
    except kind as error:
        return _with(error, words)
    raise DifferentError(f"no {kind.__name__} was raised")


async def refused_later(
    kind: type[Exception], body: Callable[[], Awaitable[object]], *words: str
) -> Exception:
    """`refused`, of a coroutine."""
    try:
        await body()
    except kind as error:
        return _with(error, words)
    raise DifferentError(f"no {kind.__name__} was raised")


def _with(error: Exception, words: tuple[str, ...]) -> Exception:
    for word in words:
        check(word in str(error), f"{word!r} is not in the error: {error}")
    return error


async def _awaited(found: Any) -> Any:
    return await found


def is_mood(found: Any) -> None:
    """Check a value against `MOOD`."""
    check(isinstance(found, dict), f"not an object: {found!r}")
    same(sorted(found), ["feeling", "strong"], "keys")
    check(found["feeling"] in {"glad", "sad"}, f"feeling: {found['feeling']!r}")
    check(isinstance(found["strong"], bool), f"strong: {found['strong']!r}")


def is_city(found: Any) -> None:
    """Check the arguments of a call of `get_weather`."""
    check(isinstance(found, dict) and found.get("city") in CITIES, f"arguments: {found!r}")


def run() -> None:
    """Run every scenario in its order, and print what came of it."""
    only = {name for name in os.environ.get("MATRIX_ONLY", "").split(";") if name}
    chosen = [one for one in _SCENARIOS if not only or one.name in only]
    _say({"declared": [one.name for one in chosen]})
    # One event loop for all: asynchronous clients keep their connections in the first one.
    with asyncio.Runner() as runner:
        for one in chosen:
            told = {"scenario": one.name, "column": one.column, "limit": one.limit}
            _say(told | _outcome(one.body, runner))


def _outcome(body: Body, runner: asyncio.Runner) -> dict[str, object]:
    try:
        found = body()
        if inspect.isawaitable(found):
            found = runner.run(_awaited(found))
    except Exception as error:  # noqa: BLE001 - whatever a client raises is its outcome
        traceback.print_exc(file=sys.stderr)
        said = f"{type(error).__name__}: {error}".replace("\n", " ")
        return {"ok": False, "detail": said[:_DETAIL_LENGTH]}
    return {"ok": True, "detail": found if isinstance(found, str) else ""}


def _say(line: dict[str, object]) -> None:
    # Clients may print to standard output themselves; a line of ours begins with its mark.
    sys.stdout.write(f"\n@matrix {json.dumps(line)}\n")
    sys.stdout.flush()
