"""Origins of web pages, as browsers write them in the header `Origin` (RFC 6454)."""

from __future__ import annotations

import re

from enginehouse.errors import SettingsError

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(\[[0-9a-f:.]+\]|[^/?#@:\[\]\sA-Z]+)(:\d{1,5})?")


def parse_origins(variable: str, raw: str) -> tuple[str, ...]:
    """Origins with commas between them, or ``*`` alone; empty means none.

    Raises:
        SettingsError: naming the variable and the first entry that no browser would send.
    """
    origins = tuple(part.strip() for part in raw.split(",") if part.strip())
    if "*" in origins and len(origins) > 1:
        raise SettingsError(f"{variable}={raw!r}: give * alone, or origins")
    for origin in origins:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise SettingsError(
                f"{variable}={origin!r}: give scheme://host or scheme://host:port in lower case, "
                "without a path and a slash at the end, or * for every origin"
            )
    return origins
