"""Several answers to one request: generated side by side, told apart by their index."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace

from enginehouse.api.generation import Generation, Piece, Prompt, Usage
from enginehouse.api.revision import Revision
from enginehouse.api.state import ApiState

from enginehouse.errors import ServingError


def choices(
    state: ApiState,
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
            Generation(state, revision, prompt, f"{request_id}-{i}" if count > 1 else request_id, i)
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
    def state(self) -> ApiState:
        """The adapter's state."""
        return self.generations[0].state

    @property
    def usage(self) -> Usage:
        """The prompt counts once, the answers all, whether they are kept or not."""
        return Usage(
            self.generations[0].usage.prompt_tokens,
            sum(g.usage.completion_tokens for g in self.generations),
        )

    async def pieces(self) -> AsyncGenerator[Piece, None]:
        """Pieces of all answers as they come; closing it cancels them.

        Raises:
            ServingError: of the first answer that fails; the others are cancelled.
        """
        if len(self.generations) == 1:
            async with aclosing(self.generations[0].pieces()) as only:
                async for piece in only:
                    yield piece
            return
        arrived: asyncio.Queue[Piece | ServingError | None] = asyncio.Queue()
        tasks = [asyncio.create_task(_forward(g, arrived)) for g in self.generations]
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

    async def gather(self) -> list[list[Piece]]:
        """All pieces of each kept answer, best first if some are dropped.

        Raises:
            ServingError: see `pieces`.
        """
        answers: list[list[Piece]] = [[] for _ in self.generations]
        async with aclosing(self.pieces()) as pieces:
            async for piece in pieces:
                answers[piece.index].append(piece)
        if self.kept < len(answers):
            answers.sort(key=_mean_log_prob, reverse=True)
        return [
            [replace(piece, index=index) for piece in answer]
            for index, answer in enumerate(answers[: self.kept])
        ]


async def _forward(
    generation: Generation, arrived: asyncio.Queue[Piece | ServingError | None]
) -> None:
    try:
        async with aclosing(generation.pieces()) as pieces:
            async for piece in pieces:
                arrived.put_nowait(piece)
    except ServingError as error:
        arrived.put_nowait(error)
    else:
        arrived.put_nowait(None)


def _mean_log_prob(answer: list[Piece]) -> float:
    values = [value for piece in answer for value in piece.log_probs]
    return sum(values) / len(values) if values else float("-inf")
