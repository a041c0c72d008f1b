"""Gate `performance`: the version and the champion side by side on one replica."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import closing
from statistics import fmean, stdev

from enginehouse.registry.gates.context import GateContext
from enginehouse.registry.gates.conversation import Speaker
from enginehouse.registry.rollouts.state import GateResult, Verdict
from scipy.stats import t as student

NAME = "performance"
#: How much slower than the champion, as a ratio less 1.
MARGIN = 0.25
_TOKENS = 16
_FIRST_LOOK = 8
_MOST_PAIRS = 40
_LEVEL = 0.05


def performance(context: GateContext) -> GateResult:
    """Not slower than the champion by more than a margin.

    Both answer the same question in turn, the order alternating, so that a busy moment of the
    machine meets both; pairs are added until the ratio of total times is certain enough.
    """
    if context.champion is None or context.champion_bundle is None or not context.replicas:
        reason = "there is no champion to compare with"
        return GateResult(name=NAME, verdict=Verdict.PASS, reason=reason)
    address = context.replicas[0]
    with (
        closing(Speaker(address, context.model, context.version, context.bundle)) as mine,
        closing(
            Speaker(address, context.model, context.champion, context.champion_bundle)
        ) as theirs,
    ):
        # The first request after a load is several times slower.
        for speaker in (mine, theirs):
            _time(speaker, 0)
        ratios: list[float] = []
        while len(ratios) < _MOST_PAIRS:
            ratios.append(_pair(mine, theirs, len(ratios) + 1))
            if len(ratios) >= _FIRST_LOOK and judge(ratios).verdict is not Verdict.INCONCLUSIVE:
                break
    return judge(ratios)


def judge(log_ratios: Sequence[float]) -> GateResult:
    """The verdict on paired log ratios of total times, challenger over champion.

    Student's interval of their mean; looking several times costs some of its level, which the
    margin, not a fine limit, can bear.
    """
    mean = fmean(log_ratios)
    error = stdev(log_ratios) / math.sqrt(len(log_ratios))
    reach = float(student.ppf(1 - _LEVEL, len(log_ratios) - 1)) * error
    low, high = math.exp(mean - reach), math.exp(mean + reach)
    numbers = {
        "time_ratio": math.exp(mean),
        "time_ratio_low": low,
        "time_ratio_high": high,
        "pairs": float(len(log_ratios)),
    }
    verdict = Verdict.INCONCLUSIVE
    if high < 1 + MARGIN:
        verdict = Verdict.PASS
    elif low > 1 + MARGIN:
        verdict = Verdict.FAIL
    reason = (
        f"{_TOKENS} tokens take {math.exp(mean):.2f} times the champion's time "
        f"({low:.2f} to {high:.2f} with 95 %), allowed are {1 + MARGIN:.2f}"
    )
    return GateResult(name=NAME, verdict=verdict, reason=reason, numbers=numbers)


def _pair(mine: Speaker, theirs: Speaker, number: int) -> float:
    if number % 2:
        own, other = _time(mine, number), _time(theirs, number)
    else:
        other, own = _time(theirs, number), _time(mine, number)
    return math.log(own / other)


def _time(speaker: Speaker, number: int) -> float:
    # A number first keeps the prefix cache out of the figure.
    content = f"{number}: write a short note about the history of the steam engine."
    messages = [{"role": "user", "content": content}]
    return speaker.ask(messages, _TOKENS, to_the_end=True).total_s
