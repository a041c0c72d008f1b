"""The record of one attempt at a request: a sample, completed in one place."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from enginehouse.api.call import Attempted
from enginehouse.api.counted_requests import OK
from enginehouse.api.generation import Generation, TextChunk
from enginehouse.gateway.observing import Follower
from enginehouse.gateway.outcomes import outcome_of
from enginehouse.gateway.samples.ring import SampleRing

from enginehouse.text.refusal import HEAD_CHARACTERS, is_refusal
from enginehouse.traffic import RequestSample


@dataclass(slots=True)
class Account:
    """Observes one attempt from its route to its end.

    Attributes:
        followers: what else wants to see the attempt.
    """

    attempt: Attempted
    ring: SampleRing
    followers: Sequence[Follower] = ()
    _began: float = field(default_factory=time.perf_counter)
    _head: str = ""
    _visible: bool = False
    _finish: str | None = None

    def see(self, piece: TextChunk) -> None:
        """Text is on its way to the caller."""
        for follower in self.followers:
            follower.see(piece)
        if piece.text:
            self._visible = self._visible or not piece.text.isspace()
            if piece.index == 0 and len(self._head) < HEAD_CHARACTERS:
                self._head += piece.text
        if piece.index == 0 and piece.finish is not None:
            self._finish = piece.finish

    def close(self, code: str) -> None:
        """The end of the attempt, with its HTTP status."""
        sample = self._sample(code)
        self.ring.add(sample)
        for follower in self.followers:
            follower.end(sample)

    def _sample(self, code: str) -> RequestSample:
        attempt, call = self.attempt, self.attempt.call
        answered = call.answered
        version = None if answered is None else answered.served_by.version
        choices = None if answered is None else answered.choices
        generations: Sequence[Generation] = () if choices is None else choices.generations
        usages = [generation.usage for generation in generations]
        text = bool(generations) and code == OK
        return RequestSample(
            at=time.time(),
            request_id=call.id,
            model=attempt.model,
            version=version or attempt.version,
            rollout=attempt.rollout,
            generation=attempt.generation,
            pinned=attempt.pinned,
            endpoint=call.ask.endpoint,
            outcome=outcome_of(code),
            code=code,
            ttft_s=_first(g.times.first_s for g in generations),
            inter_token_s=_mean(g.times.inter_token_s for g in generations),
            total_s=time.perf_counter() - self._began,
            prompt_tokens=usages[0].prompt_tokens if usages else call.usage.prompt_tokens,
            completion_tokens=sum(usage.completion_tokens for usage in usages),
            finish=self._finish,
            empty=text and not self._visible,
            refusal=text and is_refusal(self._head),
            tenant=call.tenant,
            experiment=None if attempt.treatment is None else attempt.treatment.experiment,
            arm=None if attempt.treatment is None else attempt.treatment.arm.name,
        )


def _first(values: Iterable[float | None]) -> float | None:
    return min((value for value in values if value is not None), default=None)


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
