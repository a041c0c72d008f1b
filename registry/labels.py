"""Labels: human-readable names of versions, beside MLflow's integer.

There are three kinds, each with its own order: a semantic version (``1.4.0``, ``2.0.0-rc.1``), a
date with an optional count (``2026-11-21``, ``2026-11-21.2``), a build number (``build-1234``). A
version has at most one label, and a label is unique within a model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import Literal

from enginehouse.registry.reader import RegistryReader
from enginehouse.registry.records import VersionRecord

from enginehouse.errors import ConflictError, NotRegisteredError, RegistryError

_IDENTIFIER = r"(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)"
_SEMANTIC = re.compile(
    r"v?(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    rf"(?:-({_IDENTIFIER}(?:\.{_IDENTIFIER})*))?"
)
_DATE = re.compile(r"(\d{4}-\d{2}-\d{2})(?:\.([1-9]\d*))?")
_BUILD = re.compile(r"build-(0|[1-9]\d*)")
_INTEGER = re.compile(r"v?([1-9]\d*)")
_RULE = (
    "write a semantic version as in 1.4.0 or 2.0.0-rc.1, a date as in 2026-11-21 or "
    "2026-11-21.2, or a build number as in build-1234"
)

_Part = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class Label:
    """A parsed label.

    Attributes:
        text: canonical form, as it is stored.
        order: sort key among labels of one kind; labels of different kinds are not ordered.
    """

    kind: Literal["semantic", "date", "build"]
    text: str
    order: tuple[_Part, ...]

    @classmethod
    def parse(cls, text: str) -> Label:
        """Parse a label.

        Raises:
            RegistryError: if the label has none of the three forms.
        """
        found = _semantic(text) or _date(text) or _build(text)
        if found is None:
            raise RegistryError(f"label {text!r} cannot be used: {_RULE}")
        return found


def label_of(record: VersionRecord) -> Label | None:
    """A version's label; None if it has none or an invalid one."""
    try:
        return Label.parse(record.label) if record.label else None
    except RegistryError:
        return None


def resolve(registry: RegistryReader, name: str, text: str) -> VersionRecord:
    """Resolve what a user typed: a version (``8``, ``v8``), a label, or an alias.

    Raises:
        NotRegisteredError: if nothing matches; lists what exists.
        RegistryError: if the registry does not answer.
    """
    if number := _INTEGER.fullmatch(text):
        return registry.version(name, int(number[1]))
    known = registry.versions(name)
    wanted = _canonical(text)
    for record in reversed(known):
        # The oldest one: a crash may have left a duplicate, see `check_first`.
        if record.label == wanted:
            return record
    for record in known:
        if text in record.aliases:
            return record
    named = [word for record in known for word in (record.label, *record.aliases) if word]
    raise NotRegisteredError(
        f"{name} has no version, label or alias {text!r}; there are versions "
        f"{', '.join(str(record.version) for record in reversed(known)) or 'none'}"
        f"{' and ' + ', '.join(named) if named else ''}"
    )


def check_free(
    registry: RegistryReader, name: str, label: Label, version: int | None = None
) -> None:
    """Raise if another version of the model has the label.

    Raises:
        ConflictError: names that version.
        RegistryError: if the registry does not answer.
    """
    for record in registry.versions(name):
        if record.label == label.text and record.version != version:
            raise ConflictError(
                f"{name} version {record.version} has the label {label.text} already: choose "
                "another, or take it off that version first"
            )


def check_first(registry: RegistryReader, name: str, label: Label, version: int) -> None:
    """Raise if an earlier version has the label of a newly registered one.

    MLflow has no compare-and-set, but assigns version numbers in order. If two versions are
    registered with the same label at the same time, the later one sees the earlier one and fails.

    Raises:
        ConflictError: names that version.
        RegistryError: if the registry does not answer.
    """
    for record in registry.versions(name):
        if record.label == label.text and record.version < version:
            raise ConflictError(
                f"{name} version {record.version} has just been given the label {label.text}: "
                "choose another, and register again"
            )


def _canonical(text: str) -> str:
    try:
        return Label.parse(text).text
    except RegistryError:
        return text


def _semantic(text: str) -> Label | None:
    found = _SEMANTIC.fullmatch(text)
    if found is None:
        return None
    numbers = tuple((0, int(part), "") for part in found.groups()[:3])
    # A release sorts after its candidates, and numeric identifiers before others, as in SemVer 2.
    last: tuple[_Part, ...] = ((2, 0, ""),)
    if found[4]:
        last = tuple(
            (0, int(part), "") if part.isdecimal() else (1, 0, part) for part in found[4].split(".")
        )
    return Label("semantic", text.removeprefix("v"), numbers + last)


def _date(text: str) -> Label | None:
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    try:
        day = date.fromisoformat(found[1])
    except ValueError:
        return None
    return Label("date", text, ((0, day.toordinal(), ""), (0, int(found[2] or 0), "")))


def _build(text: str) -> Label | None:
    found = _BUILD.fullmatch(text)
    return Label("build", text, ((0, int(found[1]), ""),)) if found else None
