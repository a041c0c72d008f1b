"""Several answers to one request: generated side by side, told apart by their index."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace

from enginehouse.api.generation import Engine, Generation, Piece, Prompt, Usage
from enginehouse.api.revision import Revision

from enginehouse.errors import ServingError


def choices(
    engine: Engine,
    revision: Revision,
    prompt: Prompt,
    request_id: str,
    count: int,
    *,
    kept: int | None = None,
) -> Choices:
    """`count` generations of one prompt; `request_id` is that of the response."""
    return Choices(
        request_id,
        tuple(
            Generation(
                engine, revision, prompt, f"{request_id}-{i}" if count > 1 else request_id, i
            )
            for i in range(count)
        ),
        kept or count,
    )


@dataclass(frozen=True, slots=True)
class Choices:
    """The generations of one request.

    Attributes:
        kept: how many are answered; of more, those with the highest mean log-probability.
    """

    id: str
    generations: tuple[Generation, ...]
    kept: int

    @property
    def revision(self) -> Revision:
        """Who generates; the same for all."""
        return self.generations[0].revision

    @property
    def usage(self) -> Usage:
        """The prompt counts once, the answers all, whether they are kept or not."""
        return Usage(
            self.generations[0].usage.prompt_tokens,
            sum(g.usage.completion_tokens for g in self.generations),
        )

    async def pieces(self, timeout_s: float | None = None) -> AsyncGenerator[Piece, None]:
        """Pieces of all answers as they come; closing it cancels them.

        Args:
            timeout_s: the caller's patience; None is the adapter's own.

        Raises:
            ServingError: of the first answer that fails; the others are cancelled.
        """
        if len(self.generations) == 1:
            async with aclosing(self.generations[0].pieces(timeout_s)) as only:
                async for piece in only:
                    yield piece
            return
        arrived: asyncio.Queue[Piece | ServingError | None] = asyncio.Queue()
        tasks = [asyncio.create_task(_forward(g, arrived, timeout_s)) for g in self.generations]
        try:
            running = len(tasks)
            while running:
                item = await arrived.get()
                if item is None:
                    running -= 1
                elif isinstance(item, ServingError):
                    raise item
                else:
                    yield item
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def best(self, answers: list[list[Piece]]) -> list[list[Piece]]:
        """The answers that are kept, best first if some are dropped."""
        if self.kept < len(answers):
            answers = sorted(answers, key=_mean_log_prob, reverse=True)[: self.kept]
        return [
            [replace(piece, index=index) for piece in answer]
            for index, answer in enumerate(answers)
        ]

    def renamed(self, request_id: str) -> Choices:
        """The same under another id: a copy that runs beside it."""
        renamed = (
            replace(g, request_id=f"{request_id}-{g.index}" if g.index else request_id)
            for g in self.generations
        )
        return replace(self, id=request_id, generations=tuple(renamed))


async def _forward(
    generation: Generation,
    arrived: asyncio.Queue[Piece | ServingError | None],
    timeout_s: float | None,
) -> None:
    try:
        async with aclosing(generation.pieces(timeout_s)) as pieces:
            async for piece in pieces:
                arrived.put_nowait(piece)
    except ServingError as error:
        arrived.put_nowait(error)
    else:
        arrived.put_nowait(None)


def _mean_log_prob(answer: list[Piece]) -> float:
    values = [value for piece in answer for value in piece.log_probs]
    return sum(values) / len(values) if values else float("-inf")
