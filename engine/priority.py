"""Threads that compute give way to those that pass answers on.

On a host whose cores the engine shares with Triton and the adapter, a token that is ready waits
until the kernel takes a core from the next step. A lower priority makes it do so at once; the
engine loses no more than what the others need anyway. Linux keeps a nice value for each thread,
and threads inherit it from the one that starts them (`setpriority(2)`, `pthreads(7)`).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")
_NICE = 5


def give_way() -> None:
    """Lower this thread's priority, and that of all that it starts from now on."""
    thread = threading.get_native_id()
    at_least = max(_NICE, os.getpriority(os.PRIO_PROCESS, thread))
    os.setpriority(os.PRIO_PROCESS, thread, at_least)


def giving_way(make: Callable[[], _T]) -> _T:
    """Make something whose threads give way; this thread keeps its priority."""
    with ThreadPoolExecutor(1, "engine-load", give_way) as pool:
        return pool.submit(make).result()
