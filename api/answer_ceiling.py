"""The most tokens of any answer, so that each comes to its end within the time of a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from enginehouse.settings import ApiSettings

#: What an answer is expected to get of a full engine at least. On two cores 32 answers at once
#: get 26 tokens/s each; this leaves room for 64 of them and for a slower host.
SLOWEST_TOKENS_PER_S = 8.0


@dataclass(frozen=True, slots=True)
class AnswerCeiling:
    """The most tokens of any answer; a stage may offer another one."""

    tokens: int

    @classmethod
    def of(cls, api: ApiSettings) -> Self:
        """The tokens that come at `SLOWEST_TOKENS_PER_S` in the time that a request has.

        That is ``ENGINEHOUSE_REQUEST_TIMEOUT_S``, less the longest wait for the first token.
        """
        first_s = min(api.first_token_timeout_s, api.request_timeout_s / 2)
        return cls(max(1, int((api.request_timeout_s - first_s) * SLOWEST_TOKENS_PER_S)))
