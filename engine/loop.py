"""The in-flight batching loop.

One thread drives the runtime. Between two steps it admits waiting requests, drops cancelled ones
and sends the tokens of the last step. After a failed step it finds the request that caused the
failure and fails only that one; the others continue (see `EngineLoop._recover`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial

from enginehouse.engine.admission import WaitingRoom
from enginehouse.engine.coalescing import tokens_per_response
from enginehouse.engine.job import Job, Sink
from enginehouse.engine.priority import give_way
from enginehouse.engine.runtime import Runtime, SlotState
from enginehouse.engine.senders import Senders
from enginehouse.engine.stats import LoopStats
from enginehouse.engine.watchdog import Watchdog

from enginehouse.errors import EngineUnavailableError, InvalidRequestError, ServingError
from enginehouse.generation import FinishReason, GenerationRequest, each_sequence
from enginehouse.manifest import EngineSettings
from enginehouse.text.detokenizer import CharacterBoundary

_log = logging.getLogger(__name__)
_PUBLISH_EVERY_S = 0.25
#: Weight of the newest step in the moving average of step times, which coalescing uses. It is
#: small, so that the long step of one prompt changes the average little.
_STEP_WEIGHT = 0.1
_FIRST_STEP_S = 0.05
_SENDERS = 4
_CLOSED = "the engine is shutting down"
_GUIDE_LOST = "the engine was repaired, and a guided answer cannot go on in its middle"
_BROKEN = "the engine broke and is being repaired"


class EngineLoop:
    """Drives one runtime. `submit` and `cancel` are thread-safe."""

    def __init__(
        self,
        runtime: Runtime,
        settings: EngineSettings,
        *,
        token_bytes: list[bytes] | None = None,
        publish: Callable[[LoopStats], None] = lambda _: None,
    ) -> None:
        """Prepare the loop; `start` starts its thread.

        Args:
            runtime: the loaded engine.
            settings: batch, queue and step limits.
            token_bytes: bytes of each id, so that no response ends inside a character.
            publish: called with the loop's statistics a few times a second while it works.
        """
        self.stats = LoopStats(max_requests=settings.batch, block_tokens=runtime.block_tokens)
        self._runtime = runtime
        self._max_batch = settings.batch
        self._alone = settings.deterministic
        self._coalescing = settings.coalescing
        self._draft_tokens = settings.draft_tokens if settings.speculative != "none" else 0
        self._waiting = WaitingRoom(settings.max_queue, settings.batch)
        self._watchdog = Watchdog(settings.step_timeout_s)
        self._token_bytes = token_bytes
        self._publish = publish
        self._published_at = 0.0
        self._step_s = _FIRST_STEP_S
        # A step that computes on this host holds the GIL and fills the caches, so that more sender
        # threads would cost more than they save.
        self._senders = Senders(1 if runtime.computes_here else _SENDERS)
        self._active: list[Job] = []
        self._fresh: list[Job] = []
        self._quarantine: deque[Job] = deque()
        self._thread = threading.Thread(target=self._run, name="engine-loop", daemon=True)

    def start(self) -> None:
        """Start the loop's thread."""
        self._thread.start()

    def close(self) -> None:
        """Fail the remaining requests and end the thread."""
        for job in self._waiting.close(_CLOSED):
            job.sink.fail(EngineUnavailableError(_CLOSED))
        if self._thread.is_alive():
            self._thread.join()
        self._senders.close()

    def submit(self, request: GenerationRequest, sink: Sink) -> None:
        """Queue a request.

        Raises:
            InvalidRequestError: if the runtime does not support the request.
            QueueFullError: if too many requests wait.
            EngineUnavailableError: if the loop has ended.
        """
        self._runtime.check(request)
        try:
            self._waiting.put(
                *(
                    Job(one, sink, CharacterBoundary(self._token_bytes))
                    for one in each_sequence(request)
                )
            )
        except ServingError:
            self.stats.rejected += 1
            raise

    def cancel(self, request_id: str) -> int:
        """End every request with this client-given id; return how many there were."""
        found = [
            job
            for job in (*self._waiting.snapshot(), *tuple(self._active), *tuple(self._quarantine))
            if request_id and job.request.request_id == request_id
        ]
        for job in found:
            job.stop_requested = True
        self._waiting.wake()
        return len(found)

    def _run(self) -> None:
        if self._runtime.computes_here:
            give_way()
        try:
            self._work()
        except Exception:  # noqa: BLE001 - whatever went wrong, waiting requests must be failed
            _log.exception("the engine loop failed")
            self._break_down(self._active)

    def _work(self) -> None:
        while not self._waiting.closed:
            if self._active or self._quarantine:
                self._iterate()
            else:
                self._idle()
                if self._waiting.wait():
                    self._iterate()
        for job in (*self._active, *self._quarantine):
            self._fail(job, EngineUnavailableError(_CLOSED))
        self._active.clear()
        self._quarantine.clear()

    def _idle(self) -> None:
        """Do an empty step, in which the runtime releases the memory of the last request."""
        self._watchdog.rest()
        self._waiting.free_slots(self._max_batch)
        self._runtime.step()
        self._refresh(force=True)

    def _iterate(self) -> None:
        """One iteration: drop cancelled requests, admit, step, deliver."""
        self._drop_cancelled()
        self._admit()
        if not self._active:
            return
        self._watchdog.feed()
        began = time.perf_counter()
        try:
            self._runtime.step()
        except RuntimeError as error:
            self._recover(error)
            return
        took = time.perf_counter() - began
        self.stats.steps += 1
        self.stats.step_seconds += took
        self.stats.step_seconds_max = max(self.stats.step_seconds_max, took)
        self._step_s += _STEP_WEIGHT * (took - self._step_s)
        self._fresh.clear()
        self._deliver()
        if self._alone:
            self._answer_probes()
        self._refresh()

    def _drop_cancelled(self) -> None:
        gone = [j for j in self._waiting.snapshot() if j.stop_requested or j.sink.cancelled()]
        self._waiting.remove(gone)
        for job in gone:
            self._cancelled(job)
        kept = []
        for job in self._active:
            if job.stop_requested or job.sink.cancelled():
                self._release(job)
                self._cancelled(job)
            else:
                kept.append(job)
        self._active = kept

    def _admit(self) -> None:
        """Fill the batch. A quarantined job is admitted alone, so that a failure identifies it."""
        if self._quarantine:
            jobs = [self._quarantine.popleft()]
        else:
            room = self._max_batch - len(self._active)
            jobs = self._waiting.take(room) if room > 0 else self._admit_probe(room)
        now = time.monotonic_ns()
        for job in jobs:
            if not job.generated:
                job.timings.first_scheduled_ns = now
                self.stats.prompt_tokens += len(job.request.input_ids)
            self._enter(job)

    def _admit_probe(self, room: int) -> list[Job]:
        """A probe for the extra slot of a full batch; none if answers are computed alone."""
        self._waiting.free_slots(0)
        return self._waiting.take_probe() if room == 0 and not self._alone else []

    def _answer_probes(self) -> None:
        """Answer probes without computing them: the step just done shows that the engine works.

        Computing a probe would change the batch size and with it the numbers of the answer that is
        being generated, see docs/determinism.md.
        """
        for probe in self._waiting.take_probe():
            probe.end(FinishReason.LENGTH)

    def _enter(self, job: Job) -> None:
        if job.generated and job.request.guide is not None and not job.restart():
            self._fail(job, EngineUnavailableError(_GUIDE_LOST))
            return
        try:
            job.slot = self._runtime.admit(job.request, job.generated)
        except RuntimeError as error:
            self._fail(job, InvalidRequestError(f"the engine refused the request: {error}"))
            return
        self._active.append(job)
        self._fresh.append(job)

    def _deliver(self) -> None:
        """Read every slot and send what is due."""
        gather = tokens_per_response(len(self._active), self._step_s) if self._coalescing else 1
        kept = []
        for job in self._active:
            if job.slot is None:
                continue
            drained = job.slot.drain()
            if drained.state is SlotState.OUT_OF_MEMORY:
                self._fail(job, EngineUnavailableError("the KV cache is full; try again later"))
                continue
            if drained.state is SlotState.FAILED:
                self._fail(job, _blame(job, drained.error))
                continue
            if self._draft_tokens and drained.token_ids:
                self.stats.draft_steps += 1
                self.stats.accepted_draft_tokens += len(drained.token_ids) - 1
                job.drafts.drafted += self._draft_tokens
                job.drafts.accepted += len(drained.token_ids) - 1
            self.stats.generated_tokens += job.take(drained)
            if job.finished and drained.state is SlotState.RUNNING:
                self._release(job)
            kept.append(job)
        self._send([job for job in kept if job.due(gather)])
        self._active = [job for job in kept if not job.finished]
        self.stats.completed += len(kept) - len(self._active)

    def _send(self, due: list[Job]) -> None:
        """Send the due responses in parallel; those of one sink (one request) in sequence."""
        by_sink: dict[int, list[Job]] = {}
        for job in due:
            by_sink.setdefault(id(job.sink), []).append(job)
        self._senders.run([partial(_flush, jobs) for jobs in by_sink.values()])

    def _recover(self, error: RuntimeError) -> None:
        """Clear the runtime after a failed step, and find the job that caused the failure.

        A failed step leaves every sequence of the runtime in the middle of scheduling. Cancelling
        all of them and doing one step clears it. The suspects are the jobs admitted since the last
        successful step, or all jobs if there is none. A single suspect fails. Several are
        quarantined and admitted again one at a time. The other jobs continue.
        """
        suspects = self._fresh or self._active
        others = [job for job in self._active if job not in suspects]
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else repr(error)
        _log.warning("step failed with %d suspects: %s", len(suspects), reason)
        self.stats.recoveries += 1
        for job in self._active:
            self._release(job)
        self._active, self._fresh = [], []
        try:
            self._runtime.step()
        except RuntimeError:
            self._break_down([*others, *suspects])
            return
        if len(suspects) == 1:
            self._fail(suspects[0], _blame(suspects[0], reason))
        else:
            self._quarantine.extend(suspects)
        for job in others:
            self._enter(job)
        self._fresh = []

    def _break_down(self, jobs: list[Job]) -> None:
        """Fail every request and refuse new ones, since the runtime cannot be repaired."""
        _log.error("the runtime does not recover; %d requests fail", len(jobs))
        broken = EngineUnavailableError(_BROKEN)
        for job in (*jobs, *self._waiting.close(_BROKEN), *self._quarantine):
            self._fail(job, broken)
        self._quarantine.clear()
        self._active = []

    def _release(self, job: Job) -> None:
        if job.slot is not None:
            job.slot.cancel()
            job.slot = None

    def _cancelled(self, job: Job) -> None:
        self.stats.cancelled += 1
        job.end(FinishReason.CANCELLED)

    def _fail(self, job: Job, error: ServingError) -> None:
        self.stats.failed += 1
        job.sink.fail(error)

    def _refresh(self, *, force: bool = False) -> None:
        now = time.monotonic()
        if force or now - self._published_at >= _PUBLISH_EVERY_S:
            self._published_at = now
            self.stats.in_flight = len(self._active) + len(self._quarantine)
            self.stats.waiting = len(self._waiting)
            self.stats.kv_cache_usage = self._runtime.kv_cache_usage()
            self.stats.kv_blocks = self._runtime.kv_blocks
            fresh = [len(job.request.input_ids) for job in self._active if not job.generated]
            self.stats.context_requests, self.stats.context_tokens = len(fresh), sum(fresh)
            self.stats.paused = len(self._quarantine)
            drafted = self.stats.draft_steps * self._draft_tokens
            if drafted:
                self.stats.draft_acceptance = self.stats.accepted_draft_tokens / drafted
            self._publish(self.stats)
            self.stats.step_seconds_max = 0.0


def _flush(jobs: list[Job]) -> None:
    for job in jobs:
        job.flush()


def _blame(job: Job, reason: str) -> ServingError:
    """A failure with a guide is the caller's error (400); any other is a server error."""
    message = f"the engine failed on this request: {reason}"
    if job.request.guide is not None:
        return InvalidRequestError(message, field="guided_decoding_guide")
    return ServingError(message)
