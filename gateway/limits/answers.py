"""Rate limit headers, and the messages of rate limit errors."""

from __future__ import annotations

import math
from collections.abc import MutableMapping, Sequence

from enginehouse.gateway.limits.store import LimitKind, LimitRefusal, LimitStatus

from enginehouse.errors import RateLimitError

_SHOWN = (LimitKind.REQUESTS, LimitKind.TOKENS)
_MINUTE_S, _HOUR_S = 60, 3600


def write_headers(headers: MutableMapping[str, str], levels: Sequence[LimitStatus]) -> None:
    """Set ``x-ratelimit-*`` of each kind, from the limit that has least left."""
    for kind in _SHOWN:
        tightest = min((one for one in levels if one.kind is kind), key=_left, default=None)
        if tightest is not None:
            headers[f"x-ratelimit-limit-{kind}"] = str(tightest.capacity)
            headers[f"x-ratelimit-remaining-{kind}"] = str(tightest.remaining)
            headers[f"x-ratelimit-reset-{kind}"] = duration(tightest.reset_s)


def _left(level: LimitStatus) -> tuple[int, int]:
    return level.remaining, level.capacity


def duration(seconds: float) -> str:
    """``120ms``, ``1s``, ``6m0s``, ``1h0m0s``: rounded up."""
    if seconds < 1:
        milliseconds = math.ceil(seconds * 1000)
        return f"{milliseconds}ms" if milliseconds < 1000 else "1s"  # noqa: PLR2004 - of a second
    whole = math.ceil(seconds)
    hours, minutes, rest = whole // _HOUR_S, whole % _HOUR_S // _MINUTE_S, whole % _MINUTE_S
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


def rate_limit_error(refusal: LimitRefusal) -> RateLimitError:
    """The error for a call that a limit rejects; its message says how to go on."""
    capacity, after = refusal.capacity, duration(refusal.retry_after_s)
    match refusal.kind:
        case LimitKind.REQUESTS:
            sentence = f"the limit of {capacity} requests a minute is reached: retry in {after}"
        case LimitKind.TOKENS if not refusal.amount:
            sentence = f"the limit of {capacity} tokens a minute is reached: retry in {after}"
        case LimitKind.TOKENS if refusal.amount > capacity:
            sentence = (
                f"the request may take {refusal.amount} tokens, more than the limit of {capacity} "
                "a minute: shorten the prompt or lower max_tokens"
            )
        case LimitKind.TOKENS:
            sentence = (
                f"the request may take {refusal.amount} tokens, which the limit of {capacity} a "
                f"minute does not allow now: retry in {after}, or lower max_tokens"
            )
        case LimitKind.CONCURRENT:
            sentence = (
                f"the limit of {capacity} requests at once is reached: wait until one has ended"
            )
    return RateLimitError(sentence, retry_after_s=refusal.retry_after_s)
