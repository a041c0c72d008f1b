"""Lowers the priority of threads that compute, in favour of threads that deliver answers.

Where the engine shares its cores with Triton and the adapter, a finished token waits until the
kernel preempts the next step. With a lower priority for the computation the kernel does so at once.
The engine loses only the CPU time that delivery needs. Linux keeps a nice value for each thread,
and a thread inherits it from the thread that starts it (`setpriority(2)`, `pthreads(7)`).
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
    """Lower the priority of this thread and of all threads that it starts from now on."""
    thread = threading.get_native_id()
    at_least = max(_NICE, os.getpriority(os.PRIO_PROCESS, thread))
    os.setpriority(os.PRIO_PROCESS, thread, at_least)


def giving_way(make: Callable[[], _T]) -> _T:
    """Call `make` so that the threads it starts have a low priority; this thread keeps its own."""
    with ThreadPoolExecutor(1, "engine-load", give_way) as pool:
        return pool.submit(make).result()
