"""Searches versions by runtime, weight format, label, tag, quality and alias."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from enginehouse.registry import records
from enginehouse.registry.labels import Label, label_of
from enginehouse.registry.records import VersionRecord

from enginehouse.errors import RegistryError

_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}
_CONDITION = re.compile(r"(>=|<=|>|<|=)?\s*(\S+)")


@dataclass(frozen=True, slots=True)
class LabelRange:
    """Conditions on a label; labels of another kind do not match."""

    conditions: tuple[tuple[str, Label], ...]

    @classmethod
    def parse(cls, text: str) -> LabelRange:
        """Parse ``>=1.2.0,<2.0.0``, ``<2026-11-01`` or just ``1.4.0``.

        Raises:
            RegistryError: names the part that is invalid.
        """
        conditions = []
        for part in text.split(","):
            found = _CONDITION.fullmatch(part.strip())
            if found is None:
                raise RegistryError(
                    f"label range {text!r} cannot be read: write conditions with a comma "
                    "between them, as in '>=1.2.0,<2.0.0'"
                )
            conditions.append((found[1] or "=", Label.parse(found[2])))
        return cls(tuple(conditions))

    def __contains__(self, label: Label) -> bool:
        return all(
            label.kind == bound.kind and _COMPARISONS[sign](label.order, bound.order)
            for sign, bound in self.conditions
        )


@dataclass(frozen=True, slots=True)
class Query:
    """Criteria that a version has to meet; None and empty match all.

    Attributes:
        runtime: with or without its version: ``openvino`` or ``openvino 2026.4.1``.
        tags: key and value, which all have to be present.
    """

    runtime: str | None = None
    weight_format: str | None = None
    label: LabelRange | None = None
    tags: tuple[tuple[str, str], ...] = ()
    quality: str | None = None
    alias: str | None = None

    def matches(self, record: VersionRecord) -> bool:
        """Whether a version meets all criteria."""
        runtime = record.tags.get(records.TAG_RUNTIME, "")
        label = label_of(record)
        return (
            (self.runtime is None or self.runtime in {runtime, runtime.split(" ")[0]})
            and self.weight_format in {None, record.tags.get(records.TAG_FORMAT)}
            and (self.label is None or (label is not None and label in self.label))
            and all(record.tags.get(key) == value for key, value in self.tags)
            and self.quality in {None, record.tags.get(records.TAG_QUALITY)}
            and (self.alias is None or self.alias in record.aliases)
        )

    def of(self, found: Iterable[VersionRecord]) -> list[VersionRecord]:
        """The versions that match, in the given order."""
        return [record for record in found if self.matches(record)]


def parse_tag(text: str) -> tuple[str, str]:
    """Parse ``key=value``.

    Raises:
        RegistryError: if there is no ``=`` in it.
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise RegistryError(f"tag {text!r} cannot be read: write key=value")
    return key, value
