"""A watchdog for a step that never returns.

`step()` holds the GIL, so no Python thread can watch it. `faulthandler` keeps its timer in a C
thread: past the time it writes every thread's traceback and ends the process. Triton then fails
the requests of a dead stub, and the release controller has the engine loaded again.
"""

from __future__ import annotations

import faulthandler
import time

_STDERR = 2


class Watchdog:
    """Ends the process if `feed` is not called for `timeout_s` while armed."""

    #: Starting the timer costs a thread, so it is fed at most this often.
    _FEED_EVERY_S = 1.0

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._fed_at: float | None = None

    def feed(self) -> None:
        """Start the time again."""
        now = time.monotonic()
        if self._fed_at is None or now - self._fed_at >= self._FEED_EVERY_S:
            self._fed_at = now
            # The interval between feeds counts against the step: allow for it.
            faulthandler.dump_traceback_later(
                self._timeout_s + self._FEED_EVERY_S, exit=True, file=_STDERR
            )

    def rest(self) -> None:
        """Stop watching: nothing runs."""
        if self._fed_at is not None:
            self._fed_at = None
            faulthandler.cancel_dump_traceback_later()
