"""A public class name stands for one class in the whole product tree, and for no built-in one."""

from __future__ import annotations

import ast
import asyncio
import builtins
import concurrent.futures
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_EXCEPTIONS = {
    "TritonPythonModel": "Triton's Python backend looks for a class of this name in each model.py",
}


def _folders() -> list[Path]:
    """The folders that `pyproject.toml` maps into the package `enginehouse`."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))
    mapped = project["tool"]["setuptools"]["package-dir"]
    return [_ROOT / folder for folder in mapped.values()]


def _classes(statements: Sequence[ast.stmt]) -> Iterator[str]:
    """Names of the classes of a module, also of those under a condition, but of no nested ones."""
    for statement in statements:
        if isinstance(statement, ast.ClassDef):
            yield statement.name
        elif isinstance(statement, ast.If | ast.Try | ast.With):
            for block in ("body", "orelse", "finalbody"):
                yield from _classes(getattr(statement, block, []))
            for handler in getattr(statement, "handlers", []):
                yield from _classes(handler.body)


def public_classes(folders: Sequence[Path]) -> dict[str, set[Path]]:
    """Files that define each public top-level class, by class name."""
    found: dict[str, set[Path]] = defaultdict(set)
    for path in sorted({path for folder in folders for path in folder.rglob("*.py")}):
        for name in _classes(ast.parse(path.read_text("utf-8")).body):
            if not name.startswith("_"):
                found[name].add(path)
    return found


def _reserved() -> set[str]:
    """Built-in classes, and the exceptions of asyncio and concurrent.futures."""
    modules = (asyncio, asyncio.exceptions, concurrent.futures)
    exceptions = {
        name
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, BaseException)
    }
    return exceptions | {name for name, value in vars(builtins).items() if isinstance(value, type)}


def breaches(folders: Sequence[Path], allowed: frozenset[str]) -> list[str]:
    """One sentence for each name that stands for two classes or hides a built-in one."""
    found = public_classes(folders)
    twice = [
        f"{name} stands for {len(paths)} classes: {', '.join(str(path) for path in sorted(paths))}"
        for name, paths in found.items()
        if len(paths) > 1 and name not in allowed
    ]
    hiding = [
        f"{name} has the name of a built-in class: {min(paths)}"
        for name, paths in found.items()
        if name in _reserved()
    ]
    return sorted(twice + hiding)


def test_a_public_class_name_stands_for_one_class() -> None:
    assert breaches(_folders(), frozenset(_EXCEPTIONS)) == []


def test_each_exception_is_needed() -> None:
    found = public_classes(_folders())
    assert [name for name in _EXCEPTIONS if len(found[name]) < 2] == []


def test_a_second_class_of_a_name_is_found(tmp_path: Path) -> None:
    for folder in ("one", "two/deep"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "one" / "first.py").write_text("class Outcome: ...\nclass _Own: ...\n")
    (tmp_path / "two" / "deep" / "second.py").write_text(
        "try:\n    import fast\nexcept ImportError:\n    class Outcome: ...\nclass _Own: ...\n"
    )
    both = [tmp_path / "one", tmp_path / "two"]
    (sentence,) = breaches(both, frozenset())
    assert sentence.startswith("Outcome stands for 2 classes")
    assert "first.py" in sentence
    assert "second.py" in sentence
    assert breaches(both, frozenset({"Outcome"})) == []
    assert breaches(both[:1], frozenset()) == []


def test_a_class_with_the_name_of_a_built_in_one_is_found(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "class CancelledError(Exception): ...\nclass TimeoutError(Exception): ...\n"
        "class BrokenExecutor: ...\nclass RequestCancelledError: ...\n"
    )
    told = breaches([tmp_path], frozenset({"CancelledError"}))
    assert [sentence.split()[0] for sentence in told] == [
        "BrokenExecutor", "CancelledError", "TimeoutError",
    ]  # fmt: skip
