"""Labels of metrics that callers can make up, kept to a few."""

from __future__ import annotations

from collections.abc import Iterable

OTHER = "other"
_MOST_CHARACTERS = 64


class BoundedLabels:
    """The first names keep their own label; all that come after them share one.

    A label lives as long as the process, so that a counter never goes backwards.
    """

    def __init__(self, most: int, first: Iterable[str] = ()) -> None:
        """`first` are names that have a label whoever comes before them; they count too."""
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
