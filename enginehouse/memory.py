"""Returns unused memory of the C library to the system."""

from __future__ import annotations

import ctypes


def give_back_free_memory() -> None:
    """Return freed pages to the system (glibc's `malloc_trim(3)`); does nothing elsewhere.

    After parsing a large file most of the allocated memory is free but stays resident.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
