"""What a request came to for the version that answered it."""

from __future__ import annotations

from http import HTTPStatus

from enginehouse.api.counted_requests import CLIENT_GONE

from enginehouse.traffic import Outcome

_FIRST_4XX, _FIRST_5XX = 400, 500


def outcome_of(code: str) -> Outcome:
    """An HTTP status, or `CLIENT_GONE` → how the request ended for its version."""
    status = int(code)
    if code == CLIENT_GONE:
        return Outcome.CANCELLED
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Outcome.OVERLOADED
    if status >= _FIRST_5XX:
        return Outcome.ERROR
    return Outcome.REFUSED if status >= _FIRST_4XX else Outcome.OK
