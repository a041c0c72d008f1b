"""Foreign text reaches a terminal by one way, which reads no markup: nobody makes another."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_PARTS = (
    "enginehouse",
    "api",
    "build",
    "cli",
    "client",
    "engine",
    "gateway",
    "model_repository",
    "perf",
    "registry",
    "stack",
)
_OWN = _ROOT / "cli" / "terminal.py"
_FILES = sorted(path for part in _PARTS for path in (_ROOT / part).rglob("*.py") if path != _OWN)
#: A style as Rich's markup has it, for example ``[bold red]``, or the end of one.
_MARKUP = re.compile(
    r"\[/?(?:(?:not )?(?:bold|dim|italic|red|green|yellow|cyan|blue|white) ?)+\]|\[/\]"
)


def _broken(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module="rich.markup") | ast.ImportFrom(module="rich"):
                if node.module == "rich.markup" or any(a.name == "print" for a in node.names):
                    yield f"line {node.lineno}: nothing is to be escaped: use the shared console"
            case ast.Call(func=ast.Name(id="Console") | ast.Attribute(attr="Console")):
                yield f"line {node.lineno}: a console of its own; use `enginehouse.cli.terminal`"
            case ast.Call(func=ast.Attribute(attr="from_markup")):
                yield f"line {node.lineno}: markup"
            case ast.keyword(arg="markup", value=ast.Constant(value=True)):
                yield f"line {node.value.lineno}: markup"
            case ast.Constant(value=str(text)) if _MARKUP.search(text):
                yield f"line {node.lineno}: markup in {text!r}; use `styled`"


@pytest.mark.parametrize("path", _FILES, ids=lambda path: str(path.relative_to(_ROOT)))
def test_no_module_writes_or_escapes_markup(path: Path) -> None:
    assert not list(_broken(ast.parse(path.read_text("utf-8"))))


@pytest.mark.parametrize(
    "source",
    [
        "from rich.markup import escape",
        "from rich import print",
        "Console()",
        "rich.console.Console(stderr=True)",
        "console.print(x, markup=True)",
        "console.print(f'[bold]{x}[/]')",
        "Text.from_markup('x')",
    ],
)
def test_the_rule_finds_what_it_forbids(source: str) -> None:
    assert list(_broken(ast.parse(source)))
