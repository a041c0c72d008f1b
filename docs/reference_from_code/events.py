"""Names of server-sent events, from the modules that write them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from docs.reference_from_code.markdown import code, table

_ROOT = Path(__file__).parents[2]
_HEAD = """# Events of a stream

Made from the modules that write server-sent events. Their order is described on the pages of
[the Responses API](../responses.md#events) and [the Messages API](../messages.md#answers).

## Chat and text completions

Each event is `data: ` and a JSON object (`chat.completion.chunk` or `text_completion`) without
a name; the last one is `data: [DONE]`. With `stream_options.include_usage` the object before it
has the usage and no choices. An error after the first chunk is an event with `error`, and no
`[DONE]` follows it.

"""
_RESPONSES_NOTE = """`NAME` is `output_text` or `reasoning_text`;
`STATUS` is `completed`, `incomplete` or `failed`."""
#: Heading → (names of its events, a note, folders where its module may be).
_KINDS = {
    "Responses": (re.compile(r"response\.[a-zA-Z_.]+"), _RESPONSES_NOTE, ("gateway/responses",)),
    "Messages": (
        re.compile(r"message_(?:start|delta|stop)|content_block_\w+|ping|error"),
        "",
        ("gateway/messages", "gateway/anthropic"),
    ),
}


def page() -> str:
    """The page of all events.

    Raises:
        ValueError: if a module that writes events was moved.
    """
    return _HEAD + "\n".join(_section(kind, *rest) for kind, rest in _KINDS.items())


def _section(kind: str, names: re.Pattern[str], note: str, folders: tuple[str, ...]) -> str:
    files = [path for each in folders if (path := _ROOT / each / "events.py").exists()]
    found = sorted({name for file in files for name in _strings(file) if names.fullmatch(name)})
    if not found:
        raise ValueError(f"{kind}: no events are found in {', '.join(folders)}")
    rows = [[code(name)] for name in found]
    return f"## {kind}\n\n{note}\n\n{table([f'event, written by {_place(files)}'], rows)}"


def _place(files: list[Path]) -> str:
    return ", ".join(code(file.relative_to(_ROOT)) for file in files)


def _strings(file: Path) -> Iterator[str]:
    """Strings of a module; what is filled in is named by its last word, in capitals."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        if isinstance(node, ast.JoinedStr):
            yield "".join(map(_part, node.values))


def _part(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    assert isinstance(node, ast.FormattedValue)  # noqa: S101 - a JoinedStr has nothing else
    return re.findall(r"[a-z]+", ast.unparse(node.value))[-1].upper()
