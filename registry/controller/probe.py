"""Probes engines with real inferences, because Triton reports a dead Python stub as ready."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from enginehouse.client import Deadlines, RetryPolicy, Target, TritonClient
from enginehouse.registry.controller.replica_plan import ReplicaTarget

from enginehouse.contract import EMBEDDING_PROBE_PRIORITY, PROBE_PRIORITY
from enginehouse.errors import ServingError
from enginehouse.generation import GenerationRequest
from enginehouse.names import TENSORRT_LLM, part

_PROBE_EVERY_S = 10.0
_FAILURES_ALLOWED = 2
_PROBE = Deadlines(total_s=20.0, first_token_s=20.0, between_tokens_s=20.0)
_PROBE_TEXT = "probe"


class Prober:
    """Probes each loaded version of one replica in the background."""

    def __init__(self, address: str, report: Callable[[str], None]) -> None:
        """`address` is ``host:port`` of Triton's gRPC port."""
        self._client = TritonClient(address, deadlines=_PROBE, retry=RetryPolicy(attempts=1))
        self._report = report
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="probe")
        self._running: dict[tuple[str, int], Future[str | None]] = {}
        self._probed_at: dict[tuple[str, int], float] = {}
        self._failures: dict[tuple[str, int], int] = {}

    def close(self) -> None:
        """Close the channel; a probe in flight is dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def forget(self, model: str, version: int) -> None:
        """Reset a version that was repaired."""
        self._failures.pop((model, version), None)

    def silent(self, model: str, versions: Sequence[int], wanted: ReplicaTarget) -> frozenset[str]:
        """Engines, as ``<triton model>/<version>``, that failed several consecutive probes."""
        for key in [k for k in self._failures if k[0] == model and k[1] not in versions]:
            # It was unloaded during the probe.
            del self._failures[key]
        for version in versions:
            self._advance(Target(model, version), wanted.embedding)
        name = model if wanted.embedding else part(model, TENSORRT_LLM)
        return frozenset(
            f"{name}/{version}"
            for version in versions
            if self._failures.get((model, version), 0) >= _FAILURES_ALLOWED
        )

    def _advance(self, target: Target, embedding: bool) -> None:  # noqa: FBT001 - one caller
        key = (target.model, target.version or 0)
        running = self._running.get(key)
        if running is not None:
            if running.done():
                self._take(key, running.result())
            return
        now = time.monotonic()
        if now - self._probed_at.setdefault(key, now) >= _PROBE_EVERY_S:
            self._running[key] = self._pool.submit(self._probe, target, embedding)

    def _take(self, key: tuple[str, int], failure: str | None) -> None:
        del self._running[key]
        self._probed_at[key] = time.monotonic()
        if failure is None:
            self._failures.pop(key, None)
            return
        self._failures[key] = self._failures.get(key, 0) + 1
        self._report(f"{key[0]} version {key[1]} did not answer a probe: {failure}")

    def _probe(self, target: Target, embedding: bool) -> str | None:  # noqa: FBT001 - one caller
        """Infer one token or one vector; returns the failure, or None."""
        try:
            if embedding:
                self._client.embed(target, [_PROBE_TEXT], priority=EMBEDDING_PROBE_PRIORITY)
            else:
                request = GenerationRequest(input_ids=[0], max_tokens=1, priority=PROBE_PRIORITY)
                for _ in self._client.generate(target, request):
                    pass
        except ServingError as error:
            return str(error)
        return None
