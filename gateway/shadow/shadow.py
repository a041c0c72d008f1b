"""Shadow copies: requests repeated on another version, whose answers are only compared.

A copy starts after the champion has answered, so no request waits for it. It has the lowest
priority
in the engine's queue, and the routes limit the number of copies.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter as Tally
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from enginehouse.gateway.journal.line_buffer import LineBuffer
from enginehouse.gateway.shadow.shadow_copy import OK, CopyResult, Start, ask_again
from enginehouse.gateway.shadow.shadow_metrics import ShadowMetrics

from enginehouse.settings import ApiSettings, read
from enginehouse.text.redaction import redacted_beginning
from enginehouse.traffic import RequestSample, Routes, ShadowRoute
from enginehouse.traffic.comparison import Comparison, ShadowPair, compare_answers, pairs_path

_log = logging.getLogger(__name__)
#: Priority in the engine's queue, below every request of a user.
SHADOW_PRIORITY = -1
#: Most comparisons that one process writes for a model; the metrics count all of them.
_MOST_LINES = 10_000

#: Cosine similarity of two texts' embeddings; None if it cannot be computed.
Cosine = Callable[[str, str], Awaitable[float | None]]


@dataclass(frozen=True, slots=True)
class OriginalAnswer:
    """A request as the champion answered it.

    Attributes:
        prompt: text of the prompt, for stored pairs.
        sample: sample of the request; the copy's sample has the same rollout and generation.
    """

    sample: RequestSample
    prompt: str
    answer: str
    finish: str | None


class Shadow:
    """Runs the copies of one adapter."""

    def __init__(
        self,
        metrics: ShadowMetrics,
        keep: Callable[[RequestSample], None],
        lines: LineBuffer,
        *,
        pairs: int = 0,
        cosine: Cosine | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Create it; no task starts before the first copy.

        Args:
            keep: receives the samples of the copies.
            pairs: number of pairs of texts that are stored for a model, redacted.
            draw: returns a random number in [0, 1).
        """
        self._metrics = metrics
        self._keep = keep
        self._lines = lines
        self._pairs = pairs
        self._cosine = cosine
        self._draw = draw
        self._written: Tally[str] = Tally()
        self._running: Tally[str] = Tally()
        self._tasks: set[asyncio.Task[None]] = set()

    def wanted(self, routes: Routes | None, version: int) -> ShadowRoute | None:
        """Draw whether a request of the champion is copied; returns the shadow's route if so."""
        route = None if routes is None else routes.shadow
        if routes is None or route is None:
            return None
        if version != routes.champion or version == route.version:
            return None
        return route if self._draw() < route.share else None

    def copy(
        self,
        route: ShadowRoute,
        original: OriginalAnswer,
        start: Start | None,
    ) -> None:
        """Start a copy if there is room; returns immediately and raises no error.

        Args:
            start: request id → the started answer; None if no replica has the version ready.
        """
        model = original.sample.model
        labels = model, str(route.version)
        if start is None:
            self._metrics.copies.labels(*labels, "away").inc()
        elif self._running[model] >= route.concurrency:
            self._metrics.copies.labels(*labels, "busy").inc()
        else:
            self._running[model] += 1
            task = asyncio.create_task(self._run(route, original, start))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Cancel running copies."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def settled(self) -> None:
        """Wait until no copy is running."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, route: ShadowRoute, original: OriginalAnswer, start: Start) -> None:
        model = original.sample.model
        try:
            copied = await ask_again(start)
            self._keep(copied.sample(original.sample, route.version))
            if copied.code == OK:
                await self._compare(route.version, original, copied)
            else:
                end = "late" if copied.late else "failed"
                self._metrics.copies.labels(model, str(route.version), end).inc()
        except Exception:  # noqa: BLE001 - a copy is nobody's request: it must not end anything
            _log.exception("a shadow copy to %s version %d broke", model, route.version)
        finally:
            self._running[model] -= 1

    async def _compare(self, version: int, original: OriginalAnswer, copied: CopyResult) -> None:
        cosine = None
        if self._cosine is not None:
            cosine = await self._cosine(original.answer, copied.text)
        # The comparison takes milliseconds, which would delay all other requests.
        found = await asyncio.to_thread(
            compare_answers,
            original.answer,
            copied.text,
            champion_finish=original.finish,
            shadow_finish=copied.finish,
            cosine=cosine,
        )
        self._metrics.compared(original.sample.model, str(version), found)
        await self._write(version, original, copied, found)

    async def _write(
        self, version: int, original: OriginalAnswer, copied: CopyResult, found: Comparison
    ) -> None:
        model = original.sample.model
        number = self._written[model]
        if number >= _MOST_LINES:
            return
        self._written[model] += 1
        texts = {}
        if number < self._pairs:
            texts = await asyncio.to_thread(_texts, original, copied)
        pair = ShadowPair(
            at=time.time(),
            request_id=original.sample.request_id,
            model=model,
            champion=original.sample.version,
            shadow=version,
            comparison=found,
            **texts,
        )
        self._lines.add(pairs_kind(model), pair.model_dump_json())


def _texts(original: OriginalAnswer, copied: CopyResult) -> dict[str, str]:
    return {
        "prompt": redacted_beginning(original.prompt),
        "champion_answer": redacted_beginning(original.answer),
        "shadow_answer": redacted_beginning(copied.text),
    }


def pairs_kind(model: str) -> str:
    """Kind of the journal file with a model's pairs."""
    return pairs_path(Path(), model).stem


def pairs_kept(environ: Mapping[str, str]) -> int:
    """Number of text pairs stored for each model (``ENGINEHOUSE_SHADOW_PAIRS``); 0 unless set.

    Raises:
        SettingsError: naming the variable.
    """
    return read(ApiSettings, environ).shadow_pairs
