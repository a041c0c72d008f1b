"""Continuing an interrupted answer: the tokens received so far are appended to the prompt."""

from __future__ import annotations

import time
from dataclasses import replace
from hashlib import blake2b

from enginehouse.client.policy import Deadlines

from enginehouse.generation import Chunk, FinishReason, GenerationRequest, Sampling


def continuable(request: GenerationRequest) -> bool:
    """Whether an engine that gets the prompt and the partial answer continues it correctly.

    Not possible with a guide, whose state is lost; with presence or frequency penalties, which
    count generated tokens but not the prompt; with stop sequences or bad words of several tokens,
    which may be split at the interruption; with several sequences in one stream. A repetition
    penalty also counts the prompt, so it works; `min_tokens` and `max_tokens` are reduced.
    """
    words = (*request.stop_sequences, *request.bad_words)
    sampling = request.sampling
    return (
        request.guide is None
        and not sampling.presence_penalty
        and not sampling.frequency_penalty
        and all(len(word) == 1 for word in words)
        and request.sequences == 1
    )


def continued(request: GenerationRequest, received: list[int]) -> GenerationRequest:
    """The request for the rest of an answer after the tokens `received`.

    Greedy answers continue unchanged. With a seed, the continuation uses a seed derived from it and
    from the number of received tokens. It is reproducible for an interruption at the same place,
    but differs from the uninterrupted answer.
    """
    return replace(
        request,
        input_ids=[*request.input_ids, *received],
        max_tokens=request.max_tokens - len(received),
        sampling=_sampling(request.sampling, len(received)),
        prompt_log_probs=False,
    )


def _sampling(sampling: Sampling, count: int) -> Sampling:
    seed = sampling.seed
    if seed is not None:
        # The same seed would repeat the random numbers that were used already.
        digest = blake2b(f"{seed} {count}".encode(), digest_size=8).digest()
        seed = int.from_bytes(digest, "little")
    return replace(sampling, seed=seed, min_tokens=max(0, sampling.min_tokens - count))


class Progress:
    """Progress of one answer, over all replicas that worked on it."""

    def __init__(self, request: GenerationRequest, *, fixed_version: bool) -> None:
        """`fixed_version`: all replicas that may answer have the same version."""
        self._request = request
        self._continuable = fixed_version and continuable(request)
        self._received: list[int] = []
        self._began = time.monotonic()
        self._attempts = 0
        self.started = False

    @property
    def can_continue(self) -> bool:
        """Whether the rest of the answer can be requested."""
        return self._continuable

    def add(self, chunk: Chunk) -> None:
        """Record received tokens."""
        if chunk.token_ids:
            self.started = True
            if self._continuable:
                self._received += chunk.token_ids

    def rest(self) -> GenerationRequest:
        """The next request: the original one, or the rest of it."""
        return continued(self._request, self._received) if self._received else self._request

    def ending(self) -> Chunk | None:
        """The final chunk, if all tokens were received and only that chunk was lost."""
        if not self._received:
            return None
        if self._request.ends_at(self._received[-1]):
            return Chunk([], finish=FinishReason.STOP)
        if len(self._received) >= self._request.max_tokens:
            return Chunk([], finish=FinishReason.LENGTH)
        return None

    def limits(self, limits: Deadlines) -> Deadlines:
        """Deadlines for the next attempt, reduced by the time already used."""
        self._attempts += 1
        if self._attempts == 1:
            return limits
        elapsed_s = time.monotonic() - self._began
        first_s = limits.first_token_s
        if first_s is not None and not self.started:
            first_s -= elapsed_s
        total_s = None if limits.total_s is None else limits.total_s - elapsed_s
        return replace(limits, total_s=total_s, first_token_s=first_s)

    def left_s(self, limits: Deadlines) -> float | None:
        """Time left for an attempt to begin, in seconds; None without a limit."""
        elapsed_s = time.monotonic() - self._began
        if self.started:
            return limits.left_s(elapsed_s)
        return limits.wait_s(elapsed_s=elapsed_s, started=False)

    def out_of_time(self, limits: Deadlines) -> bool:
        """Whether the total deadline has passed."""
        return limits.total_s is not None and time.monotonic() - self._began >= limits.total_s
