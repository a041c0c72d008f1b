"""Memory that the C library keeps although nobody uses it any more."""

from __future__ import annotations

import ctypes


def give_back_free_memory() -> None:
    """Return freed pages to the system (glibc's `malloc_trim(3)`); elsewhere nothing happens.

    After parsing a large file most of what was allocated is free, but stays resident.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
