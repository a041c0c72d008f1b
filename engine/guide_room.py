"""Queues requests until their guides are compiled. Requests without a guide are not delayed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace

from enginehouse.engine.guides import GuideCompiler
from enginehouse.engine.job import Job, Sink

from enginehouse.errors import EngineUnavailableError, GuideCompilerBusyError, ServingError
from enginehouse.generation import FinishReason, GenerationRequest, Guide, each_sequence
from enginehouse.text.detokenizer import CharacterBoundary


@dataclass(slots=True, eq=False)
class _Entry:
    request: GenerationRequest
    guide: Guide
    sink: Sink
    stopped: bool = False


class GuideRoom:
    """Compiles guides on one thread, in the order of arrival, and then admits their requests."""

    def __init__(
        self,
        compiler: GuideCompiler,
        admit: Callable[[GenerationRequest, Sink], None],
        capacity: int,
    ) -> None:
        """Start the thread.

        Args:
            compiler: compiles the guides; `close` closes it.
            admit: called with each request once its guide is compiled. May raise `ServingError`.
            capacity: most requests that may wait for a compilation.
        """
        self._compiler = compiler
        self._admit = admit
        self._capacity = capacity
        self._lock = threading.Lock()
        self._entries: list[_Entry] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="guides")

    def submit(self, request: GenerationRequest, guide: Guide, sink: Sink) -> None:
        """Admit a request now if its guide is already compiled; otherwise queue the compilation.

        Raises:
            ServingError: if the request is refused immediately. Later errors go to the sink.
        """
        known = self._compiler.known(guide)
        if known is not None:
            self._admit(replace(request, guide=known), sink)
            return
        entry = _Entry(request, guide, sink)
        with self._lock:
            if len(self._entries) >= self._capacity:
                raise GuideCompilerBusyError(
                    f"{len(self._entries)} requests wait for their guides to be compiled; "
                    "try again later",
                    retry_after_s=float(len(self._entries)),
                )
            self._entries.append(entry)
        self._thread.submit(self._compile, entry)

    def hold_against(self, guide: Guide, answer: str, violated: Callable[[], None]) -> None:
        """Validate a finished answer on the thread; call `violated` if it breaks its guide."""

        def judge() -> None:
            if not self._compiler.fits(guide, answer):
                violated()

        with suppress(RuntimeError):  # raised after shutdown, when no result is needed
            self._thread.submit(judge)

    def cancel(self, request_id: str) -> int:
        """Cancel the waiting requests with this id; return how many there were."""
        with self._lock:
            found = [e for e in self._entries if request_id and e.request.request_id == request_id]
            for entry in found:
                entry.stopped = True
            return len(found)

    def close(self) -> None:
        """Stop compiling, and fail the requests that still wait."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._compiler.close()
        with self._lock:
            left, self._entries = self._entries, []
        for entry in left:
            entry.sink.fail(EngineUnavailableError("the engine is shutting down"))

    def _compile(self, entry: _Entry) -> None:
        try:
            if not (entry.stopped or entry.sink.cancelled()):
                guide = self._compiler.compile(entry.guide)
                if not entry.stopped:
                    self._admit(replace(entry.request, guide=guide), entry.sink)
                    return
            for request in each_sequence(entry.request):
                job = Job(request, entry.sink, CharacterBoundary(None))
                job.end(FinishReason.CANCELLED)
        except ServingError as error:
            entry.sink.fail(error)
        finally:
            with self._lock:
                self._entries.remove(entry)
