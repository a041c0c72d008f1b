"""The most tokens of any answer, so that each comes to its end within the time of a request."""

from __future__ import annotations

from enginehouse.gateway.limits.config import LimitsConfig

from enginehouse.settings import ApiSettings

#: What an answer is expected to get of a full engine at least. On two cores 32 answers at once
#: get 26 tokens/s each; this leaves room for 64 of them and for a slower host.
SLOWEST_TOKENS_PER_S = 8.0


def most_answer_tokens(config: LimitsConfig, api: ApiSettings) -> int:
    """`limits.max_completion_tokens`.

    By default what comes at `SLOWEST_TOKENS_PER_S` in the time that a request has
    (``ENGINEHOUSE_REQUEST_TIMEOUT_S``), less the longest wait for the first token.
    """
    if config.max_completion_tokens is not None:
        return config.max_completion_tokens
    writing_s = api.request_timeout_s - min(api.first_token_timeout_s, api.request_timeout_s / 2)
    return max(1, int(writing_s * SLOWEST_TOKENS_PER_S))
