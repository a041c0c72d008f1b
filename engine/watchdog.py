"""A watchdog for a step that never returns.

`step()` holds the GIL, so no Python thread can watch it. `faulthandler` runs its timer in a C
thread. When the time is over, it writes the traceback of every thread and ends the process. Triton
then fails the requests of the dead stub, and the release controller loads the engine again.
"""

from __future__ import annotations

import faulthandler
import time

_STDERR = 2


class Watchdog:
    """Ends the process if `feed` is not called for `timeout_s` while armed."""

    #: Each start of the timer creates a thread, so it is restarted at most this often.
    _FEED_EVERY_S = 1.0

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._fed_at: float | None = None

    def feed(self) -> None:
        """Restart the timer."""
        now = time.monotonic()
        if self._fed_at is None or now - self._fed_at >= self._FEED_EVERY_S:
            self._fed_at = now
            # The time since the last restart counts against the step, so it is added.
            faulthandler.dump_traceback_later(
                self._timeout_s + self._FEED_EVERY_S, exit=True, file=_STDERR
            )

    def rest(self) -> None:
        """Stop the timer while no step runs."""
        if self._fed_at is not None:
            self._fed_at = None
            faulthandler.cancel_dump_traceback_later()
