"""Sends the responses of one step in parallel.

To send a response is a message to Triton's process and back. Sent one after another, these round
trips took most of the time between two steps. In parallel they take the time of one.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue

Call = Callable[[], None]


class Senders:
    """A small pool of threads for calls that mostly wait without the GIL."""

    def __init__(self, count: int) -> None:
        """Start `count - 1` threads; the calling thread makes calls as well."""
        self._queues: list[SimpleQueue[list[Call] | None]] = []
        self._done: SimpleQueue[BaseException | None] = SimpleQueue()
        for number in range(count - 1):
            queue: SimpleQueue[list[Call] | None] = SimpleQueue()
            self._queues.append(queue)
            thread = threading.Thread(
                target=self._work, args=(queue,), name=f"sender-{number}", daemon=True
            )
            thread.start()

    def run(self, calls: Sequence[Call]) -> None:
        """Make all calls; return when all have ended.

        Raises:
            Exception: the first exception that a call raised.
        """
        lanes = 1 + len(self._queues)
        shares = [list(calls[lane::lanes]) for lane in range(lanes)]
        others = [share for share in shares[1:] if share]
        for queue, share in zip(self._queues, others, strict=False):
            queue.put(share)
        failed = _made(shares[0])
        for _ in others:
            failed = self._done.get() or failed
        if failed is not None:
            raise failed

    def close(self) -> None:
        """End the threads."""
        for queue in self._queues:
            queue.put(None)

    def _work(self, queue: SimpleQueue[list[Call] | None]) -> None:
        while (share := queue.get()) is not None:
            self._done.put(_made(share))


def _made(calls: Sequence[Call]) -> BaseException | None:
    """Make all calls in sequence; return the first exception, or None."""
    failed: BaseException | None = None
    for call in calls:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - raised by `run`, in the thread that asked
            failed = failed or error
    return failed
