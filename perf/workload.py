"""The workload of benchmarks: the same prompts for every side of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: Stream counts of the standard run.
STREAMS = (1, 8, 16, 32)
#: Tokens of an answer of the standard run.
NEW_TOKENS = 128
_SUBJECTS = (
    "rivers", "bridges", "clocks", "bread", "maps", "lighthouses", "paper", "glass", "salt",
    "trains", "gardens", "bees", "volcanoes", "ships", "music", "winter", "tea", "deserts",
    "telescopes", "markets", "wool", "rain", "mountains", "printing", "horses", "ice", "stars",
    "olive trees", "canals", "chess", "wind", "coins",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BurstWorkload:
    """One measured burst: `streams` concurrent greedy requests with `new_tokens` tokens each.

    The end token is ignored, so that every side generates the same number of tokens.
    """

    streams: int
    round: int
    new_tokens: int = NEW_TOKENS

    def questions(self) -> list[str]:
        """One user message for each stream, different in each round to avoid the prefix cache."""
        return [
            f"Round {self.round}, question {index}: write a long and detailed essay about "
            f"{_SUBJECTS[(index + self.round) % len(_SUBJECTS)]}, their history, how they are "
            f"made or formed, and what people thought of them in different centuries. "
            f"Begin with the year {1200 + 17 * self.round + index}."
            for index in range(self.streams)
        ]

    def conversations(self) -> list[list[dict[str, str]]]:
        """The same as chat messages."""
        return [[{"role": "user", "content": question}] for question in self.questions()]


@dataclass(frozen=True, slots=True)
class Trace:
    """Arrival times of one request's tokens, in seconds after sending.

    Attributes:
        arrivals_s: one time for each response or step.
        tokens: total number of tokens.
    """

    arrivals_s: Sequence[float]
    tokens: int

    @property
    def first_s(self) -> float:
        """Time to the first token."""
        return self.arrivals_s[0]

    @property
    def inter_token_s(self) -> float:
        """Mean time between tokens after the first."""
        return (self.arrivals_s[-1] - self.arrivals_s[0]) / max(1, self.tokens - 1)

    @property
    def gaps_s(self) -> list[float]:
        """Times between responses."""
        return [b - a for a, b in zip(self.arrivals_s, self.arrivals_s[1:], strict=False)]
