"""Fetches request samples and feedback from the adapters, page by page in the background."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import httpx
from pydantic import ValidationError

from enginehouse.supervision import SupervisedThread
from enginehouse.traffic import Feedback, RequestSample, SamplePage

_EVERY_S = 0.5
_STALE_S = 15.0
_PAGE = 5000
_MOST_KEPT = 500_000


@dataclass(slots=True)
class _Cursor:
    """Read position of one adapter."""

    boot: str = ""
    last: int = 0
    answered_at: float = float("-inf")
    dropped: int = 0


@dataclass(slots=True)
class Gathered:
    """Samples and feedback of one rollout, oldest first."""

    samples: deque[RequestSample] = field(default_factory=lambda: deque(maxlen=_MOST_KEPT))
    feedback: deque[Feedback] = field(default_factory=lambda: deque(maxlen=_MOST_KEPT))


class SampleCollector:
    """Reads the samples that every adapter holds in memory; starts from the beginning again.

    Samples are stored by the rollout named in their routes. A query returns those of one rollout,
    whatever else was fetched.
    """

    def __init__(self, adapters: Sequence[str], token: str, report: Callable[[str], None]) -> None:
        """`token` is the admin token that the adapters share."""
        self._http = httpx.Client(
            headers={"Authorization": f"Bearer {token}"}, timeout=3.0, trust_env=False
        )
        self._cursors = {url: _Cursor() for url in adapters}
        self._report = report
        self._gathered: dict[str, Gathered] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = SupervisedThread("samples", self._run)

    def start(self) -> None:
        """Start the background thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop the background thread."""
        self._stopping.set()
        self._thread.join(timeout=5.0)
        self._http.close()

    @property
    def fresh(self) -> bool:
        """Whether every adapter answered recently; otherwise nothing can be measured."""
        now = time.monotonic()
        return all(now - c.answered_at < _STALE_S for c in self._cursors.values())

    def samples(self, rollout: str, version: int, since: float) -> list[RequestSample]:
        """Requests of a version that a rollout routed and that ended after `since`."""
        with self._lock:
            found = self._gathered.get(rollout)
            if found is None:
                return []
            return [s for s in found.samples if s.version == version and s.at >= since]

    def feedback(self, rollout: str, version: int, since: float) -> list[Feedback]:
        """Users' feedback on such requests."""
        with self._lock:
            found = self._gathered.get(rollout)
            if found is None:
                return []
            return [f for f in found.feedback if f.version == version and f.at >= since]

    def keep_only(self, rollouts: set[str]) -> None:
        """Delete the data of all other rollouts."""
        with self._lock:
            for name in self._gathered.keys() - rollouts:
                del self._gathered[name]

    def applied(self, model: str, generation: int) -> int | None:
        """Number of adapters, if all apply routes of at least this generation; otherwise None."""
        for url in self._cursors:
            try:
                answer = self._http.get(f"{url}/internal/routes")
                routes = answer.json().get(model) if answer.is_success else None
            except (httpx.HTTPError, ValueError):
                return None
            if routes is None or routes["generation"] < generation:
                return None
        return len(self._cursors)

    def _run(self) -> None:
        while not self._stopping.wait(_EVERY_S):
            for url, cursor in self._cursors.items():
                try:
                    while self._fetch(url, cursor):
                        pass
                except (httpx.HTTPError, ValidationError) as error:
                    if time.monotonic() - cursor.answered_at < _STALE_S:
                        self._report(f"the adapter at {url} gives no samples: {error}")
                        cursor.answered_at = float("-inf")

    def _fetch(self, url: str, cursor: _Cursor) -> bool:
        """Fetch one page; returns whether there may be another."""
        answer = self._http.get(
            f"{url}/internal/samples", params={"after": cursor.last, "limit": _PAGE}
        )
        answer.raise_for_status()
        page = SamplePage.model_validate_json(answer.content)
        if page.boot != cursor.boot:
            again = cursor.last > 0
            cursor.boot, cursor.last = page.boot, 0
            if again:
                return True
        cursor.answered_at = time.monotonic()
        cursor.dropped += page.dropped
        with self._lock:
            for sample in page.samples:
                if sample.rollout is not None:
                    self._of(sample.rollout).samples.append(sample)
            for word in page.feedback:
                if word.rollout is not None:
                    self._of(word.rollout).feedback.append(word)
        more = page.last > cursor.last and len(page.samples) >= _PAGE
        cursor.last = page.last
        return more

    def _of(self, rollout: str) -> Gathered:
        return self._gathered.setdefault(rollout, Gathered())
