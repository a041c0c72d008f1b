"""Filter `classifier`: offensive English, by the linear model of `alt-profanity-check`.

The model knows words and pairs of words, not meaning. Its weights come with the package, whose
version must be that of scikit-learn.
"""

from __future__ import annotations

import asyncio
import importlib
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from enginehouse.gateway.content.config import ClassifierConfig
from enginehouse.gateway.content.filters import JudgeFilter
from enginehouse.gateway.content.verdicts import Action, ContentSide, JudgeVerdict

from enginehouse.errors import SettingsError

#: A long text is classified in parts, so that a few words are not outweighed by many harmless ones.
_PART_CHARACTERS = 240

#: Texts [parts] → probabilities [parts].
Predict = Callable[[Sequence[str]], Sequence[float]]


def classifier_filter(config: ClassifierConfig) -> JudgeFilter:
    """Create the filter; reading the weights takes a second or two.

    Raises:
        SettingsError: if the package is not installed.
    """
    name = config.name or config.type
    judge = ClassifierJudge(_predict(), config.threshold)
    return JudgeFilter(name, Action(config.action), config, judge)


def _predict() -> Predict:
    try:
        module = importlib.import_module("profanity_check")
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"a content filter has type 'classifier', and {error.name} is missing: install "
            "alt-profanity-check in scikit-learn's version, or remove the filter"
        ) from None
    predict: Predict = module.predict_prob
    return predict


@dataclass(frozen=True, slots=True)
class ClassifierJudge:
    """Flags a text if a part of it is offensive."""

    predict: Predict
    threshold: float

    async def judge(self, text: str, side: ContentSide) -> JudgeVerdict:  # noqa: ARG002 - a judge's signature
        """See `Judge`."""
        parts = textwrap.wrap(text, _PART_CHARACTERS)
        if not parts:
            return JudgeVerdict(flagged=False)
        probabilities = await asyncio.to_thread(self.predict, parts)
        return JudgeVerdict(max(probabilities) >= self.threshold)
