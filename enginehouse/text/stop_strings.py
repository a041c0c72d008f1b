"""Detects stop strings in streamed text, also across chunks."""

from __future__ import annotations

from collections.abc import Sequence


class StopStrings:
    """Passes text through until the first stop string; holds back what may become one."""

    def __init__(self, stops: Sequence[str], *, shown: bool = False) -> None:
        """`shown`: also return the stop string that was found."""
        self._shown = shown
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""
        self.hit: str | None = None

    def push(self, text: str) -> str:
        """Add text; return the part that is certain. Returns nothing after a hit."""
        if self.hit is not None:
            return ""
        if not self._stops:
            return text
        buffer = self._held + text
        found = min(
            ((at, stop) for stop in self._stops if (at := buffer.find(stop)) >= 0),
            default=None,
            key=lambda pair: (pair[0], -len(pair[1])),
        )
        if found is not None:
            self._held, self.hit = "", found[1]
            return buffer[: found[0] + (len(found[1]) if self._shown else 0)]
        keep = self._open_suffix(buffer)
        self._held = buffer[len(buffer) - keep :] if keep else ""
        return buffer[: len(buffer) - keep]

    def finish(self) -> str:
        """Return the text that was held back and is not a stop string."""
        held, self._held = self._held, ""
        return held

    def _open_suffix(self, buffer: str) -> int:
        """Length of the longest suffix of `buffer` that begins a stop string."""
        longest = min(len(buffer), max(len(stop) for stop in self._stops) - 1)
        for length in range(longest, 0, -1):
            if any(stop.startswith(buffer[-length:]) for stop in self._stops):
                return length
        return 0
