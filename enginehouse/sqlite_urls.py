"""SQLAlchemy URLs of SQLite files, for paths of any characters."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

_PREFIX = "sqlite:///"
#: SQLAlchemy reads the first as the query's beginning, and what follows the second as an escape.
_ESCAPES = {"%": "%25", "?": "%3F"}


def sqlite_url(path: Path) -> str:
    """The URL of a file."""
    return _PREFIX + "".join(_ESCAPES.get(character, character) for character in str(path))


def sqlite_path(url: str) -> Path | None:
    """The file that a URL names; None if it is none of SQLite, or names no file."""
    if not url.startswith(_PREFIX):
        return None
    name = url.removeprefix(_PREFIX).partition("?")[0]
    return Path(unquote(name)) if name and name != ":memory:" else None
