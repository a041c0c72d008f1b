"""Watching what runs, and repairing it.

Triton's readiness flag stays up when a Python stub is dead, so two other things are watched: the
stubs' processes, and a real inference: one token, or one vector.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from enginehouse.client import Deadlines, RetryPolicy, Target, TritonClient
from enginehouse.contract import EMBEDDING_PROBE_PRIORITY, PROBE_PRIORITY
from enginehouse.errors import ServingError
from enginehouse.generation import GenerationRequest
from enginehouse.names import POSTPROCESSING, PREPROCESSING, TENSORRT_LLM, part
from enginehouse.registry.reconciler import Reconciler
from enginehouse.stack.triton_server import stub_pids

_PROBE_EVERY_S = 10.0
_PROBE = Deadlines(total_s=20.0, first_token_s=20.0, between_tokens_s=20.0)
_PROBE_TEXT = "probe"
_FAILURES_ALLOWED = 2


class EngineWatch:
    """Finds dead or silent parts of the served models and has them reloaded."""

    def __init__(
        self, reconciler: Reconciler, triton_address: str, report: Callable[[str], None]
    ) -> None:
        self._reconciler = reconciler
        self._probe_client = TritonClient(
            triton_address, deadlines=_PROBE, retry=RetryPolicy(attempts=1)
        )
        self._report = report
        self._probed_at: dict[str, float] = {}
        self._failures: dict[str, int] = {}

    def close(self) -> None:
        """Close the probe's channel."""
        self._probe_client.close()

    def step(self, triton_pid: int) -> None:
        """Look once; repair at most one part of each model.

        Raises:
            ServingError: if Triton refuses a repair; it should then be restarted.
        """
        alive = set(stub_pids(triton_pid))
        for name, version in self._reconciler.serving.items():
            broken = self._dead_part(name, version, alive) or self._silent_part(name, version)
            if broken is not None:
                self._repair(name, broken)

    def _dead_part(self, name: str, version: int, alive: set[str]) -> str | None:
        parts = [part(name, suffix) for suffix in (TENSORRT_LLM, PREPROCESSING, POSTPROCESSING)]
        if self._reconciler.is_embedding(name):
            parts = [name]
        return next((each for each in parts if f"{each}/{version}" not in alive), None)

    def _silent_part(self, name: str, version: int) -> str | None:
        """What computes, if it has failed several probes in a row."""
        now = time.monotonic()
        if now - self._probed_at.get(name, 0.0) < _PROBE_EVERY_S:
            return None
        self._probed_at[name] = now
        try:
            self._probe(Target(name, version))
        except ServingError as error:
            self._failures[name] = self._failures.get(name, 0) + 1
            self._report(f"{name} did not answer a probe: {error}")
        else:
            self._failures[name] = 0
        if self._failures[name] < _FAILURES_ALLOWED:
            return None
        return name if self._reconciler.is_embedding(name) else part(name, TENSORRT_LLM)

    def _probe(self, target: Target) -> None:
        """A real token, or a real vector."""
        if self._reconciler.is_embedding(target.model):
            self._probe_client.embed(target, [_PROBE_TEXT], priority=EMBEDDING_PROBE_PRIORITY)
            return
        request = GenerationRequest(input_ids=[0], max_tokens=1, priority=PROBE_PRIORITY)
        for _ in self._probe_client.generate(target, request):
            pass

    def _repair(self, name: str, broken: str) -> None:
        self._report(f"{broken} is dead: loading it again")
        began = time.monotonic()
        self._reconciler.reload(name, broken)
        self._failures[name] = 0
        self._report(f"{broken} is repaired (in {time.monotonic() - began:.1f} s)")
