"""Directories at predictable paths, used only if they belong to this user alone."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from enginehouse.errors import SettingsError

_OTHERS = 0o077


def private_directory(path: Path) -> Path:
    """Return the directory; creates it with mode 0700 if needed. Its parent has to exist.

    Another user may have created it first, as a link or with files in it.

    Raises:
        SettingsError: if it is not a directory, is a link, has another owner, or is accessible to
            others.
    """
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise SettingsError(
            f"{path}: the private directory cannot be created: {error.strerror}"
        ) from error
    wrong = _wrong(found)
    if wrong is not None:
        raise SettingsError(
            f"{path} is not used: {wrong}; remove it, or set TMPDIR to another place"
        )
    return path


def _wrong(found: os.stat_result) -> str | None:
    if stat.S_ISLNK(found.st_mode):
        return "it is a link"
    if not stat.S_ISDIR(found.st_mode):
        return "it is not a directory"
    if found.st_uid != os.getuid():
        return f"it belongs to the user {found.st_uid}, and this process is {os.getuid()}"
    if stat.S_IMODE(found.st_mode) & _OTHERS:
        return f"its mode is {stat.S_IMODE(found.st_mode):o}, so others may enter it"
    return None
