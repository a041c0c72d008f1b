"""Gate `performance`: compares the speed of the version and the champion on one replica."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import closing

from enginehouse.registry.gates.context import GateContext
from enginehouse.registry.gates.conversation import Speaker, TimedAnswer
from enginehouse.registry.rollouts.state import GateResult, Verdict

from enginehouse.paired import Change, PairedRule, estimate, measure_in_turn

NAME = "performance"
_TOKENS = 16
_MOST_PAIRS = 60
#: Slowdowns to detect, as a ratio less 1. The rule is that of `enginehouse perf compare`. Margins
#: are wider here because the replica serves traffic at the same time.
RULES = {"total": PairedRule.finding(0.25), "ttft": PairedRule.finding(0.5)}
_TITLES = {"total": f"an answer of {_TOKENS} tokens", "ttft": "the first token"}
_VERDICTS = {
    Change.SLOWER: Verdict.FAIL,
    Change.UNCERTAIN: Verdict.INCONCLUSIVE,
    Change.SAME: Verdict.PASS,
    Change.FASTER: Verdict.PASS,
}


def performance(context: GateContext) -> GateResult:
    """Pass if the version is not slower than the champion by more than the margin.

    Both answer the same question one after the other, in alternating order, so that other load on
    the machine affects both alike. Pairs are added until the ratios are certain enough.
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
        # Warm up: the first request after a load is several times slower.
        for speaker in (mine, theirs):
            _ask(speaker, 0)
        ratios = measure_in_turn(lambda number: _pair(mine, theirs, number + 1), RULES, _MOST_PAIRS)
    return judge(ratios)


def judge(log_ratios: Mapping[str, list[float]]) -> GateResult:
    """The verdict on paired log ratios of times, challenger over champion, by metric."""
    numbers: dict[str, float] = {}
    found: dict[str, Change] = {}
    reasons = []
    for metric, ratios in log_ratios.items():
        one = estimate(ratios)
        found[metric] = RULES[metric].judge(one)
        numbers |= {
            f"{metric}_ratio": one.ratio,
            f"{metric}_ratio_low": one.low,
            f"{metric}_ratio_high": one.high,
            "pairs": float(one.pairs),
        }
        line = math.sqrt(1 + RULES[metric].margin)
        reasons.append(
            f"{_TITLES[metric]} takes {one.ratio:.2f} times the champion's time "
            f"({one.low:.2f} to {one.high:.2f} with 95 %, the line is at {line:.2f})"
        )
    verdicts = {_VERDICTS[change] for change in found.values()}
    order = (Verdict.FAIL, Verdict.INCONCLUSIVE)
    verdict = next((v for v in order if v in verdicts), Verdict.PASS)
    return GateResult(name=NAME, verdict=verdict, reason="; ".join(reasons), numbers=numbers)


def _pair(mine: Speaker, theirs: Speaker, number: int) -> dict[str, float]:
    if number % 2:
        own, other = _ask(mine, number), _ask(theirs, number)
    else:
        other, own = _ask(theirs, number), _ask(mine, number)
    return {
        "total": math.log(own.total_s / other.total_s),
        "ttft": math.log(own.ttft_s / other.ttft_s),
    }


def _ask(speaker: Speaker, number: int) -> TimedAnswer:
    # A different first token in each prompt prevents prefix cache hits.
    content = f"{number}: write a short note about the history of the steam engine."
    messages = [{"role": "user", "content": content}]
    return speaker.ask(messages, _TOKENS, to_the_end=True)
