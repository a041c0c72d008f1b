"""Shadow copies: live requests asked again of a version whose answers go nowhere.

A copy starts when the champion has answered, so nobody waits for it; it is below everyone in the
engine's queue, and there are never more of them than the routes allow.
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
from enginehouse.gateway.shadow.shadow_copy import OK, Copied, Start, ask_again
from enginehouse.gateway.shadow.shadow_metrics import ShadowMetrics

from enginehouse.settings import ApiSettings, read
from enginehouse.text.redaction import redacted_beginning
from enginehouse.traffic import RequestSample, Routes, ShadowRoute
from enginehouse.traffic.comparison import Comparison, ShadowPair, compare_answers, pairs_path

_log = logging.getLogger(__name__)
#: In the engine's queue: below every request of a user.
SHADOW_PRIORITY = -1
#: Comparisons that one process writes down for a model: the metrics have the rest.
_MOST_LINES = 10_000

#: Cosine of two texts' embeddings; None where it cannot be had.
Cosine = Callable[[str, str], Awaitable[float | None]]


@dataclass(frozen=True, slots=True)
class Original:
    """A request as the champion answered it.

    Attributes:
        prompt: its text, for pairs that are kept.
        sample: its own; the copy's has the same rollout and generation.
    """

    sample: RequestSample
    prompt: str
    answer: str
    finish: str | None


class Shadow:
    """Makes the copies of one adapter."""

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
        """Nothing runs before the first copy.

        Args:
            keep: takes the copies' samples.
            pairs: texts of so many pairs of a model are written down, redacted.
            draw: gives a number from 0 up to 1.
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
        """By chance: the shadow that a request of the champion's is to be copied to."""
        route = None if routes is None else routes.shadow
        if routes is None or route is None:
            return None
        if version != routes.champion or version == route.version:
            return None
        return route if self._draw() < route.share else None

    def copy(
        self,
        route: ShadowRoute,
        original: Original,
        start: Start | None,
    ) -> None:
        """Ask again, if there is room; returns at once and raises nothing.

        Args:
            start: request id → the answer under way; None if the version is ready nowhere.
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
        """Cancel what runs."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def settled(self) -> None:
        """Wait until no copy runs."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self, route: ShadowRoute, original: Original, start: Start) -> None:
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

    async def _compare(self, version: int, original: Original, copied: Copied) -> None:
        cosine = None
        if self._cosine is not None:
            cosine = await self._cosine(original.answer, copied.text)
        # The matcher takes milliseconds, which every other request would wait for.
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
        self, version: int, original: Original, copied: Copied, found: Comparison
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


def _texts(original: Original, copied: Copied) -> dict[str, str]:
    return {
        "prompt": redacted_beginning(original.prompt),
        "champion_answer": redacted_beginning(original.answer),
        "shadow_answer": redacted_beginning(copied.text),
    }


def pairs_kind(model: str) -> str:
    """Name of the journal that holds a model's pairs."""
    return pairs_path(Path(), model).stem


def pairs_kept(environ: Mapping[str, str]) -> int:
    """How many pairs' texts of a model are kept (``ENGINEHOUSE_SHADOW_PAIRS``); 0 unless set.

    Raises:
        SettingsError: naming the variable.
    """
    return read(ApiSettings, environ).shadow_pairs
