"""SQLAlchemy URLs of SQLite files, for paths with any characters."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

_PREFIX = "sqlite:///"
#: SQLAlchemy reads ``?`` as the start of the query, and ``%`` as the start of an escape.
_ESCAPES = {"%": "%25", "?": "%3F"}


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return _PREFIX + "".join(_ESCAPES.get(character, character) for character in str(path))


def sqlite_path(url: str) -> Path | None:
    """The file that a URL names; None if it is not a SQLite URL or names no file."""
    if not url.startswith(_PREFIX):
        return None
    name = url.removeprefix(_PREFIX).partition("?")[0]
    return Path(unquote(name)) if name and name != ":memory:" else None
