"""Metric labels with values that callers can invent, limited in number."""

from __future__ import annotations

from collections.abc import Iterable

OTHER = "other"
_MOST_CHARACTERS = 64


class BoundedLabels:
    """The first names get a label of their own; all later ones share one.

    A label is kept as long as the process lives, so that a counter never decreases.
    """

    def __init__(self, most: int, first: Iterable[str] = ()) -> None:
        """The names in `first` always get a label of their own, and count towards `most`."""
        self._most = most
        self._names = {name[:_MOST_CHARACTERS] for name in first}

    def label(self, name: str) -> str:
        """The name, shortened to 64 characters, or ``other``."""
        name = name[:_MOST_CHARACTERS]
        if name not in self._names:
            if len(self._names) >= self._most:
                return OTHER
            self._names.add(name)
        return name
