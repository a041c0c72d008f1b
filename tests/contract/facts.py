"""Recorded facts on NVIDIA TensorRT-LLM's interface, and the checks against them.

`tensorrt_llm/<series>.json` holds names, types and defaults with their sources: repository, path,
version, and whether they were read in that very version (``exact``) or in its neighbours
(``nearest``). A name marked ``uncertain`` or ``since`` counts as missing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from enginehouse.engine.tensorrt_llm_calls import VendorCall, VendorEnumMember, walk

SERIES = ("1.0", "1.1", "1.2", "newest")
FACTS_DIR = Path(__file__).parent / "tensorrt_llm"
_DOUBT = ("uncertain", "since")


@cache
def facts(series: str) -> Facts:
    """The facts of one series."""
    return Facts(series, json.loads((FACTS_DIR / f"{series}.json").read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Facts:
    """One series; every check returns the contradictions it found."""

    series: str
    data: Mapping[str, Any]

    def __hash__(self) -> int:
        return hash(self.series)

    def class_named(self, module: str, name: str) -> Mapping[str, Any] | None:
        for key, entry in self.data["classes"].items():
            if key.rpartition(".")[2] == name and entry.get("module") == module:
                return entry
        return None

    def check(self, call: VendorCall) -> list[str]:
        """Every call and member of a tree."""
        return [problem for item in walk(call) for problem in self._check_one(item)]

    def _check_one(self, item: VendorCall | VendorEnumMember) -> Iterator[str]:
        if isinstance(item, VendorEnumMember):
            enum = self.data["enums"].get(item.enum, {})
            if enum.get("module") != item.module or item.name not in enum.get("values", ()):
                yield f"{self.series}: no {item.module}.{item.enum}.{item.name}"
            return
        entry = self.class_named(item.module, item.name)
        if entry is None or entry.get("removed"):
            yield f"{self.series}: no class {item.module}.{item.name}"
            return
        yield from self.check_arguments(item.name, entry["parameters"], item.arguments)

    def check_method(self, name: str, arguments: Mapping[str, Any]) -> list[str]:
        entry = self.data["methods"].get(name)
        if entry is None or any(mark in entry for mark in _DOUBT):
            return [f"{self.series}: no method {name}"]
        return list(self.check_arguments(name, entry["parameters"], arguments))

    def check_arguments(
        self, where: str, parameters: Mapping[str, Any], arguments: Mapping[str, Any]
    ) -> Iterator[str]:
        for name, value in arguments.items():
            known = parameters.get(name)
            if known is None or any(mark in known for mark in _DOUBT):
                yield f"{self.series}: {where} has no certain argument {name!r}"
            elif not fits(known["type"], value):
                yield f"{self.series}: {where}({name}={value!r}) is not {known['type']}"
        for name, known in parameters.items():
            if known.get("required") and name not in arguments:
                yield f"{self.series}: {where} misses {name!r}"

    def check_argv(self, argv: Sequence[str]) -> list[str]:
        """A command line, against the recorded flags of its program."""
        program = argv[1] if argv[0] == "python3" else argv[0]
        for name, entry in self.data["commands"].items():
            if program.endswith(name) and not entry.get("removed"):
                return list(
                    self._check_flags(name, entry["flags"], argv[argv.index(program) + 1 :])
                )
        return [f"{self.series}: no command {program}"]

    def _check_flags(
        self, where: str, flags: Mapping[str, Any], argv: Sequence[str]
    ) -> Iterator[str]:
        for flag, values in _grouped(argv):
            known = flags.get(flag)
            if known is None or any(mark in known for mark in _DOUBT):
                yield f"{self.series}: {where} has no certain flag {flag!r}"
                continue
            problem = _flag_problem(known, values)
            if problem:
                yield f"{self.series}: {where} {flag} {' '.join(values)}: {problem}"


def _grouped(argv: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    current: tuple[str, list[str]] | None = None
    for item in argv:
        if item.startswith("--"):
            if current:
                yield current
            current = (item, [])
        else:
            assert current is not None, f"{item!r} belongs to no flag"
            current[1].append(item)
    if current:
        yield current


_NUMBERS = {"int": r"-?\d+", "float": r"-?\d+(\.\d+)?"}


def _flag_problem(known: Mapping[str, Any], values: list[str]) -> str | None:
    kind = known["type"]
    if kind == "store_true":
        return "takes no value" if values else None
    if "nargs=+" in kind:
        return None if values else "wants values"
    if len(values) != 1:
        return "wants one value"
    if "choices" in known and values[0].lower() not in known["choices"]:
        return f"is none of {known['choices']}"
    form = _NUMBERS.get(kind.split()[0], ".*")
    return None if re.fullmatch(form, values[0]) else f"is no {kind}"


_SCALARS: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "Path": (str,),
    "dict": (dict,),
}


def fits(annotation: str, value: Any) -> bool:
    """Whether a value is of a recorded type; aliases of fields take what the field takes."""
    head, inner = _split(annotation.strip())
    shape = _SHAPES.get(head)
    return _is_atom(annotation.strip(), value) if shape is None else shape(inner, value)


_SHAPES: dict[str, Callable[[str, Any], bool]] = {
    "Optional": lambda inner, value: value is None or fits(inner, value),
    "Union": lambda inner, value: any(fits(part, value) for part in _parts(inner)),
    "List": lambda inner, value: (
        isinstance(value, list) and all(fits(inner, item) for item in value)
    ),
    "Literal": lambda inner, value: value in [part.strip("'\"") for part in _parts(inner)],
    "PromptInputs": lambda _, value: fits("List[int]", value),
    "alias": lambda _, __: True,
}


def _is_atom(name: str, value: Any) -> bool:
    if isinstance(value, VendorCall):
        family = name == "SpeculativeConfig" and value.name.endswith("DecodingConfig")
        return family or value.name == name
    if isinstance(value, VendorEnumMember):
        return value.enum == name
    if name == "None":
        return value is None
    if name == "bool" or isinstance(value, bool):
        return name == "bool" and isinstance(value, bool)
    return isinstance(value, _SCALARS.get(name, ()))


def _split(annotation: str) -> tuple[str, str]:
    if annotation.startswith("alias of "):
        return ("alias", annotation)
    found = re.fullmatch(r"(\w+)[\[ ](.*)[\])]", annotation)
    return (found[1], found[2]) if found else (annotation, "")


def _parts(text: str) -> list[str]:
    """Split at commas outside of brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character == "[") - (character == "]")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]
