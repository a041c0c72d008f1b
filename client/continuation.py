"""Going on where a cut answer stopped: what was received becomes part of the prompt."""

from __future__ import annotations

import time
from dataclasses import replace
from hashlib import blake2b

from enginehouse.client.policy import Deadlines

from enginehouse.generation import Chunk, FinishReason, GenerationRequest, Sampling


def continuable(request: GenerationRequest) -> bool:
    """Whether an engine that is given prompt and answer so far goes on as the first one would.

    Not with a guide, whose state is lost; not with presence or frequency penalties, which count
    what was generated and not the prompt; not with stop sequences or bad words of several
    tokens, which may be cut in two; not with several answers in one stream. A repetition penalty
    counts the prompt as well, and `min_tokens` and `max_tokens` are what is left of them.
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
    """The request for the rest of an answer of which `received` is there.

    Greedy answers go on unchanged. A seeded one goes on with a seed that is derived from the
    given one and the number of tokens received: it repeats if it is cut at the same place, but
    is not what the uncut answer would have been.
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
        # The same seed would draw the same random numbers once more.
        digest = blake2b(f"{seed} {count}".encode(), digest_size=8).digest()
        seed = int.from_bytes(digest, "little")
    return replace(sampling, seed=seed, min_tokens=max(0, sampling.min_tokens - count))


class Progress:
    """How far one answer has come, over all replicas that worked on it."""

    def __init__(self, request: GenerationRequest, *, fixed_version: bool) -> None:
        """`fixed_version`: any replica that answers has the same version."""
        self._request = request
        self._continuable = fixed_version and continuable(request)
        self._received: list[int] = []
        self._began = time.monotonic()
        self._attempts = 0
        self.started = False

    @property
    def can_continue(self) -> bool:
        """Whether the rest can be asked for."""
        return self._continuable

    def add(self, chunk: Chunk) -> None:
        """Tokens arrived."""
        if chunk.token_ids:
            self.started = True
            if self._continuable:
                self._received += chunk.token_ids

    def rest(self) -> GenerationRequest:
        """What to ask for next."""
        return continued(self._request, self._received) if self._received else self._request

    def ending(self) -> Chunk | None:
        """The last chunk, if only that was lost."""
        if not self._received:
            return None
        if self._request.ends_at(self._received[-1]):
            return Chunk([], finish=FinishReason.STOP)
        if len(self._received) >= self._request.max_tokens:
            return Chunk([], finish=FinishReason.LENGTH)
        return None

    def limits(self, limits: Deadlines) -> Deadlines:
        """What is left of the caller's time for the next attempt."""
        self._attempts += 1
        if self._attempts == 1:
            return limits
        elapsed_s = time.monotonic() - self._began
        first_s = limits.first_token_s
        if first_s is not None and not self.started:
            first_s -= elapsed_s
        total_s = None if limits.total_s is None else limits.total_s - elapsed_s
        return replace(limits, total_s=total_s, first_token_s=first_s)

    def out_of_time(self, limits: Deadlines) -> bool:
        """Whether the caller's whole time is over."""
        return limits.total_s is not None and time.monotonic() - self._began >= limits.total_s
