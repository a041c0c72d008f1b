"""Only LF and CRLF end a line of what comes from elsewhere."""

from __future__ import annotations

import ast
import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path

import httpx
import pytest
from enginehouse.client.http import events
from enginehouse.registry.quality.evaluate import load_rows
from hypothesis import given
from hypothesis import strategies as st

from enginehouse.lines import lines_of, lines_of_stream, split_lines

#: All that `str.splitlines` takes for the end of a line, less LF.
_SEPARATORS = "\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
_TEXT = f"a{_SEPARATORS}b"
_ROOT = Path(__file__).parents[2]
#: Files that split what our own commands and the host say, for people to read.
_OWN_TEXTS = {
    "build/embedding.py",
    "build/tensorrt_llm.py",
    "engine/loop.py",
    "engine/openvino.py",
    "cli/tensorrt_llm_dry_run.py",
    "enginehouse/host.py",
    "stack/prepare.py",
    "stack/process.py",
    "perf/peers/environment.py",
    "perf/peers/server.py",
    "perf/perf_analyzer/install.py",
    "perf/perf_analyzer/run.py",
    "perf/python_tool.py",
}
_FORBIDDEN = {"splitlines", "iter_lines", "aiter_lines", "readlines"}


@given(st.text(st.sampled_from("ab\n\r\u2028\x85")), st.integers(1, 5))
def test_pieces_make_the_same_lines_as_the_whole(text: str, size: int) -> None:
    raw = text.encode()
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)]

    async def stream() -> AsyncGenerator[bytes, None]:
        for piece in pieces:
            yield piece

    async def gathered() -> list[bytes]:
        return [line async for line in lines_of_stream(stream())]

    whole = [line.encode() for line in split_lines(text)]
    assert list(lines_of(pieces)) == whole == asyncio.run(gathered())


def test_only_lf_and_crlf_end_a_line() -> None:
    assert split_lines(f"{_TEXT}\n\r\n{_TEXT}\r\n") == [_TEXT, "", _TEXT]


def test_a_stream_of_events_keeps_separators() -> None:
    chunk = {"choices": [{"delta": {"content": _TEXT}}]}
    body = f"data: {json.dumps(chunk, ensure_ascii=False)}\r\n\r\ndata: [DONE]\n\n"
    answer = httpx.Response(200, content=body.encode())
    assert list(events(answer)) == [chunk]


def test_a_data_set_keeps_separators(tmp_path: Path) -> None:
    row = {"inputs": {"question": _TEXT.replace("\r", "")}}
    path = tmp_path / "rows.jsonl"
    path.write_bytes(f"{json.dumps(row, ensure_ascii=False)}\r\n".encode() * 2)
    assert [one.inputs for one in load_rows(path)] == [row["inputs"]] * 2


@pytest.mark.parametrize(
    "folder",
    [
        "api",
        "cli",
        "client",
        "gateway",
        "registry",
        "engine",
        "enginehouse",
        "build",
        "model_repository",
        "perf",
        "stack",
    ],
)
def test_foreign_texts_are_split_in_one_place(folder: str) -> None:
    found = set()
    for path in (_ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in _FORBIDDEN:
                found.add(path.relative_to(_ROOT).as_posix())
    assert found <= _OWN_TEXTS
