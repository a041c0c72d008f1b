"""Llama 3.2 and 4: ``[f(a=1), g(b="x")]``, a list of Python calls."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from enginehouse.text.tool_calls.base import ToolFormat, as_json
from enginehouse.text.tool_calls.deltas import END, CallWriter, NotACallError, Reading
from enginehouse.text.tool_calls.json_calls import expect, space

_START, _END = "<|python_start|>", "<|python_end|>"
_NAME = re.compile(r"[\w.-]")
_WORDS = {"true": True, "false": False, "null": None}
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_LONGEST = 65_536


class Pythonic(ToolFormat):
    """Arguments are emitted when the call is complete: only then they can become JSON."""

    name = "pythonic"
    markers = (_START,)
    bare = "["

    def matches(self, template_source: str) -> bool:
        """See `ToolFormat`."""
        return _START in template_source or "[func_name1(" in template_source

    def read(self, calls: CallWriter) -> Reading[None]:
        """See `ToolFormat`."""
        yield from space(calls)
        yield from expect(calls, "[")
        while True:
            yield from space(calls)
            yield from _call(calls)
            if (yield from space(calls)) != ",":
                break
            yield from calls.take()
        yield from expect(calls, "]")
        calls.keep()
        if (yield from space(calls)) == "<":
            yield from expect(calls, _END)

    def instruction(self, tools: Sequence[Mapping[str, Any]]) -> str:
        """See `ToolFormat`."""
        return (
            "You can invoke the functions below. If you decide to, answer with them alone, in "
            "the format [func_name1(param_name1=value1, param_name2=value2), func_name2(param="
            f"value)].\n\n{as_json([tool['function'] for tool in tools])}"
        )

    def written(self, calls: Sequence[tuple[str, Any]]) -> str:
        """See `ToolFormat`."""
        return f"[{', '.join(_written(name, arguments) for name, arguments in calls)}]"


def _written(name: str, arguments: Any) -> str:
    given = arguments if isinstance(arguments, dict) else {}
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in given.items())})"


def _call(calls: CallWriter) -> Reading[None]:
    name = ""
    while _NAME.fullmatch((yield from calls.peek())):
        name += yield from calls.take()
    calls.check(name)
    written = yield from _parenthesised(calls)
    arguments = _arguments(written)
    calls.begin(name)
    calls.argue(arguments)


def _parenthesised(calls: CallWriter) -> Reading[str]:
    yield from expect(calls, "(")
    parts, open_, quote, escaped = ["("], [")"], "", False
    while open_:
        character = yield from calls.take()
        parts.append(character)
        if character == END or len(parts) > _LONGEST:
            raise NotACallError
        if escaped:
            escaped = False
        elif quote:
            escaped = character == "\\"
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
        elif character in _CLOSING:
            open_.append(_CLOSING[character])
        elif character in ")]}" and open_.pop() != character:
            raise NotACallError
    return "".join(parts)


def _arguments(written: str) -> str:
    """``(a=1, b="x")`` → JSON; only literals are evaluated."""
    try:
        call = ast.parse(f"f{written}", mode="eval").body
        if not isinstance(call, ast.Call) or call.args or not isinstance(call.func, ast.Name):
            raise NotACallError
        given = {each.arg: ast.literal_eval(_literal(each.value)) for each in call.keywords}
        if None in given:
            raise NotACallError
        # Sets, bytes and infinities raise: JSON cannot represent them.
        found = json.dumps(given, ensure_ascii=False, allow_nan=False)
        # Half of a surrogate pair raises too: it cannot be sent.
        found.encode()
        return found
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        raise NotACallError from None


class _JsonWords(ast.NodeTransformer):
    """Accepts JSON's constants, which models mix into Python."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Constant(_WORDS[node.id]) if node.id in _WORDS else node


def _literal(node: ast.expr) -> ast.expr:
    changed = _JsonWords().visit(node)
    assert isinstance(changed, ast.expr)  # noqa: S101 - expressions stay expressions
    return changed
