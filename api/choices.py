"""Several answers to one request: generated side by side, told apart by their index."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import groupby

from enginehouse.api.fits import check_prompts
from enginehouse.api.generation import Engine, Generation, Prompt, TextChunk, Usage
from enginehouse.api.revision import Revision

from enginehouse.errors import EngineUnavailableError

_Arrived = asyncio.Queue["TextChunk | asyncio.Task[None]"]


def choices(
    engine: Engine,
    revision: Revision,
    prompts: Sequence[Prompt],
    request_id: str,
    count: int,
    *,
    kept: int | None = None,
) -> Choices:
    """`count` generations of each prompt; `request_id` is that of the response.

    The answer `i` of the prompt `p` has the index ``p * count + i``.

    Raises:
        InvalidRequestError: if the version cannot answer them, see `check_prompts`.
    """
    check_prompts(prompts, revision)
    several = count * len(prompts) > 1
    asked = [prompt for prompt in prompts for _ in range(count)]
    return Choices(
        request_id,
        tuple(
            Generation(engine, revision, prompt, f"{request_id}-{i}" if several else request_id, i)
            for i, prompt in enumerate(asked)
        ),
        kept or count,
        len(prompts),
    )


@dataclass(frozen=True, slots=True)
class Choices:
    """The generations of one request.

    Attributes:
        kept: how many are answered of each prompt; of more, those with the highest mean
            log-probability.
        prompts: how many prompts there are; each has as many generations as the others.
    """

    id: str
    generations: tuple[Generation, ...]
    kept: int
    prompts: int = 1

    @property
    def revision(self) -> Revision:
        """Who generates; the same for all."""
        return self.generations[0].revision

    @property
    def usage(self) -> Usage:
        """Each prompt counts once, the answers all, whether they are kept or not."""
        firsts = [g.usage for g in self.generations[:: self._each]]
        answers = [g.usage for g in self.generations]
        return Usage(
            sum(usage.prompt_tokens for usage in firsts),
            sum(usage.completion_tokens for usage in answers),
            sum(usage.cached_tokens for usage in firsts),
            sum(usage.reasoning_tokens for usage in answers),
        )

    @property
    def _each(self) -> int:
        """Generations of one prompt."""
        return len(self.generations) // self.prompts

    def pieces(self, timeout_s: float | None = None) -> AsyncGenerator[TextChunk, None]:
        """Chunks of all answers as they come; closing it cancels them.

        Args:
            timeout_s: the caller's patience; None is the adapter's own.

        Raises:
            Exception: of the first answer that fails, whatever it is; the others are cancelled.
        """
        if len(self.generations) == 1:
            return self.generations[0].pieces(timeout_s)
        return self._side_by_side(timeout_s)

    async def _side_by_side(self, timeout_s: float | None) -> AsyncGenerator[TextChunk, None]:
        arrived: _Arrived = asyncio.Queue()
        tasks = [_forwarding(generation, arrived, timeout_s) for generation in self.generations]
        try:
            running = len(tasks)
            while running:
                item = await arrived.get()
                if isinstance(item, TextChunk):
                    yield item
                else:
                    _raise_failure(item)
                    running -= 1
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def best(self, answers: list[list[TextChunk]]) -> list[list[TextChunk]]:
        """The answers that are kept, by prompt; the best first where some are dropped."""
        kept: list[list[TextChunk]] = []
        for _, of_one in groupby(answers, lambda pieces: pieces[0].index // self._each):
            found = list(of_one)
            if self.kept < len(found):
                found = sorted(found, key=_mean_log_prob, reverse=True)[: self.kept]
            kept.extend(found)
        return [
            [replace(piece, index=index) for piece in answer] for index, answer in enumerate(kept)
        ]

    def limited(self, tokens: int) -> Choices:
        """The same with this limit of each answer, or with what there is room for if less."""

        def limit(generation: Generation) -> Generation:
            most = min(tokens, generation.most_tokens, generation.room)
            return replace(generation, prompt=replace(generation.prompt, max_tokens=most))

        return replace(self, generations=tuple(limit(g) for g in self.generations))

    def renamed(self, request_id: str) -> Choices:
        """The same under another id: a copy that runs beside it."""
        renamed = (
            replace(g, request_id=f"{request_id}-{g.index}" if g.index else request_id)
            for g in self.generations
        )
        return replace(self, id=request_id, generations=tuple(renamed))


def _forwarding(
    generation: Generation, arrived: _Arrived, timeout_s: float | None
) -> asyncio.Task[None]:
    """A task that puts chunks into the queue, and at its end itself, however it ended.

    Without the latter, an end that nobody foresaw would have the queue's reader wait for ever,
    and the call hold its places in every limit.
    """
    task = asyncio.create_task(_forward(generation, arrived, timeout_s))
    task.add_done_callback(arrived.put_nowait)
    return task


async def _forward(generation: Generation, arrived: _Arrived, timeout_s: float | None) -> None:
    async with aclosing(generation.pieces(timeout_s)) as pieces:
        async for piece in pieces:
            arrived.put_nowait(piece)


def _raise_failure(ended: asyncio.Task[None]) -> None:
    """Do nothing if an answer came to its end."""
    if ended.cancelled():
        # Not by the reader, who does so when it reads no more.
        raise EngineUnavailableError("an answer was broken off from below")
    ended.result()


def _mean_log_prob(answer: list[TextChunk]) -> float:
    values = [value for piece in answer for value in piece.log_probs]
    return sum(values) / len(values) if values else float("-inf")
