"""A ring buffer of request samples in memory, which the release controller reads."""

from __future__ import annotations

import uuid

from enginehouse.traffic import Feedback, RequestSample, SamplePage


class SampleRing:
    """The newest samples and feedback of this process, numbered consecutively from 1."""

    def __init__(self, size: int) -> None:
        self.boot = uuid.uuid4().hex
        self._size = size
        self._last = 0
        self._ring: list[RequestSample | Feedback | None] = [None] * size
        self._by_request: dict[str, RequestSample] = {}

    def add(self, item: RequestSample | Feedback) -> None:
        """Add an item, and drop the oldest one if the ring is full."""
        self._last += 1
        at = self._last % self._size
        oldest = self._ring[at]
        if isinstance(oldest, RequestSample):
            self._by_request.pop(oldest.request_id, None)
        self._ring[at] = item
        if isinstance(item, RequestSample):
            self._by_request[item.request_id] = item

    def of_request(self, request_id: str) -> RequestSample | None:
        """The sample of a response, if it is still in memory."""
        return self._by_request.get(request_id)

    def page(self, after: int, limit: int) -> SamplePage:
        """At most `limit` items after a number; `last` is the number of the page's last item."""
        first = max(1, self._last - self._size + 1)
        begin = max(after + 1, first)
        end = min(self._last, begin + limit - 1)
        items = [self._ring[place % self._size] for place in range(begin, end + 1)]
        return SamplePage(
            boot=self.boot,
            last=max(end, min(after, self._last)),
            dropped=max(0, first - 1 - after),
            samples=tuple(item for item in items if isinstance(item, RequestSample)),
            feedback=tuple(item for item in items if isinstance(item, Feedback)),
        )
