"""Origins of web pages, as in the header `Origin` (RFC 6454)."""

from __future__ import annotations

import re
from collections.abc import Sequence

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[^/?#@:\[\]\sA-Z]+)(:\d{1,5})?")


def split_origins(raw: str) -> tuple[str, ...]:
    """Split a comma-separated list of origins."""
    return tuple(part.strip() for part in raw.split(",") if part.strip())


def origin_problem(origin: str, among: Sequence[str]) -> str | None:
    """What is wrong with one of several origins, and how to write it; None if it is valid.

    Valid are origins as browsers send them, or ``*`` alone for every origin.
    """
    if origin == "*":
        return "give * alone, or origins" if len(among) > 1 else None
    if _ORIGIN.fullmatch(origin):
        return None
    return (
        "give scheme://host or scheme://host:port in lower case, without a path and a slash at "
        "the end, or * for every origin"
    )
