"""Compares a shadow's answer with the champion's; pure functions except for the journal."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from statistics import fmean, median

from pydantic import BaseModel, ConfigDict, ValidationError

from enginehouse.lines import lines_of

#: Cosine similarity of two texts' embeddings; None if no embedding model is served.
Cosine = Callable[[str, str], float | None]

#: Longer answers are compared by their beginnings, because the matcher takes quadratic time.
_MOST_WORDS = 400


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Comparison(_Frozen):
    """Similarity of two answers.

    Attributes:
        similarity: share of common words in order, 0 to 1 (difflib's ratio).
        length_ratio: words in the shadow's answer divided by the champion's; 1 if both are empty.
        cosine: cosine similarity of the embeddings, or None.
    """

    exact: bool
    similarity: float
    length_ratio: float
    same_finish: bool
    champion_json: bool
    shadow_json: bool
    cosine: float | None = None

    @property
    def same_json(self) -> bool:
        """Whether both are JSON or neither is."""
        return self.champion_json == self.shadow_json


class ShadowPair(_Frozen):
    """One compared pair, as stored in the journal.

    Attributes:
        prompt, champion_answer, shadow_answer: redacted; None unless texts are stored.
    """

    at: float
    request_id: str
    model: str
    champion: int
    shadow: int
    comparison: Comparison
    prompt: str | None = None
    champion_answer: str | None = None
    shadow_answer: str | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """Statistics of all pairs of two versions: shares, means, and the median length ratio."""

    champion: int
    shadow: int
    pairs: int
    exact: float
    similarity: float
    length_ratio: float
    same_finish: float
    same_json: float


def compare_answers(
    champion: str,
    shadow: str,
    *,
    champion_finish: str | None,
    shadow_finish: str | None,
    cosine: float | None = None,
) -> Comparison:
    """Compare two answers to the same prompt."""
    left, right = champion.split(), shadow.split()
    return Comparison(
        exact=champion.strip() == shadow.strip(),
        similarity=_similarity(left[:_MOST_WORDS], right[:_MOST_WORDS]),
        length_ratio=1.0 if not left and not right else len(right) / max(1, len(left)),
        same_finish=champion_finish == shadow_finish,
        champion_json=_is_json(champion),
        shadow_json=_is_json(shadow),
        cosine=cosine,
    )


def _similarity(left: Sequence[str], right: Sequence[str]) -> float:
    if not left and not right:
        return 1.0
    # The heuristic for popular elements would ignore common words.
    return SequenceMatcher(None, left, right, autojunk=False).ratio()


def _is_json(text: str) -> bool:
    """Whether a text is a JSON object or list; a bare number or word counts as prose."""
    try:
        return isinstance(json.loads(text), dict | list)
    except (ValueError, RecursionError):
        return False


def pairs_path(directory: Path, model: str) -> Path:
    """Path of a model's pairs."""
    return directory / f"shadow-{model}.jsonl"


def read_pairs(directory: Path, model: str) -> list[ShadowPair]:
    """All pairs of a model, oldest first; lines truncated by a crash are skipped."""
    pairs = []
    try:
        lines = list(lines_of([pairs_path(directory, model).read_bytes()]))
    except FileNotFoundError:
        return []
    for line in lines:
        try:
            pairs.append(ShadowPair.model_validate_json(line))
        except ValidationError:
            continue
    return pairs


def summary(pairs: Iterable[ShadowPair]) -> list[Summary]:
    """Summarize the pairs by versions, newest shadow first."""
    groups: defaultdict[tuple[int, int], list[Comparison]] = defaultdict(list)
    for pair in pairs:
        groups[pair.champion, pair.shadow].append(pair.comparison)
    return [
        Summary(
            champion=champion,
            shadow=shadow,
            pairs=len(group),
            exact=fmean(c.exact for c in group),
            similarity=fmean(c.similarity for c in group),
            length_ratio=median(c.length_ratio for c in group),
            same_finish=fmean(c.same_finish for c in group),
            same_json=fmean(c.same_json for c in group),
        )
        for (champion, shadow), group in sorted(groups.items(), reverse=True)
    ]
