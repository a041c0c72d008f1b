"""Simulates the default rollout with good and bad versions.

Run as ``python -m enginehouse.perf.rollout_simulation --rollouts 10000 --out FILE.md``. Requests
are drawn at random as arrays. Analyses, looks and decisions are the controller's code.
"""

from __future__ import annotations

import argparse
import math
import os
import zlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from enginehouse.perf.rollout_traffic import DAY_S, SCENARIOS, Scenario, draw
from enginehouse.registry.rollouts.analyse import judge, look_due
from enginehouse.registry.rollouts.decide import decide
from enginehouse.registry.rollouts.evidence import Evidence, RolloutSide
from enginehouse.registry.rollouts.spec import RolloutSpec, RolloutStep
from enginehouse.registry.rollouts.state import GateResult, Observation, Phase, Verdict, begin

_WHOLE = 100
_CHAMPION, _CHALLENGER = 1, 2
#: The controller reads its observations about once a second.
_TICK_S = 1.0
_HEAD = """\
| challenger | rollouts | promoted | aborted | held to the deadline \
| its requests, median | time, median | promoted without samples |
|---|---:|---:|---:|---:|---:|---:|---:|"""


@dataclass(frozen=True, slots=True)
class SimulatedRollout:
    """The result of one simulated rollout.

    Attributes:
        end: ``promoted``, ``aborted`` (by an analysis), or ``held`` (until the deadline).
        requests: requests of the challenger without shadow copies.
        unmeasured: promoted without the samples that the steps require; must never be True.
    """

    end: str
    requests: int
    seconds: float
    unmeasured: bool


def main() -> None:
    """Simulate every scenario, and print and write a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollouts", type=int, default=10_000)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    lines = [_HEAD]
    with ProcessPoolExecutor(given.processes) as pool:
        for scenario in SCENARIOS:
            one = partial(simulate, scenario)
            seeds = range(given.seed, given.seed + given.rollouts)
            lines.append(row(scenario, list(pool.map(one, seeds, chunksize=50))))
            print(lines[-1], flush=True)  # noqa: T201 - a command
    if given.out is not None:
        given.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def row(scenario: Scenario, outcomes: list[SimulatedRollout]) -> str:
    """The row of a scenario in the table."""
    shares = [
        f"{sum(o.end == end for o in outcomes) / len(outcomes):.2%}"
        for end in ("promoted", "aborted", "held")
    ]
    minutes = median(o.seconds for o in outcomes) / 60
    cells = [
        scenario.name,
        f"{len(outcomes):,}",
        *shares,
        f"{median(o.requests for o in outcomes):,.0f}",
        f"{minutes:,.1f} min",
        str(sum(o.unmeasured for o in outcomes)),
    ]
    return f"| {' | '.join(cells)} |"


def simulate(scenario: Scenario, seed: int, spec: RolloutSpec | None = None) -> SimulatedRollout:
    """Simulate one rollout from the gates to its end."""
    return _Rollout(scenario, seed, spec or RolloutSpec()).run()


class _Rollout:
    """The controller's loop with simulated requests and a simulated clock."""

    def __init__(self, scenario: Scenario, seed: int, spec: RolloutSpec) -> None:
        self._scenario = scenario
        self._spec = spec
        self._rng = np.random.default_rng([seed, zlib.crc32(scenario.name.encode())])
        self._start = float(self._rng.uniform(0, DAY_S))
        self._now = self._start
        self._requests = 0
        self._status = begin("simulated", "m", _CHAMPION, _CHALLENGER, self._now, "", "")

    def run(self) -> SimulatedRollout:
        """Run until the rollout ends, at the latest by its deadline."""
        gate = GateResult(name="simulated", verdict=Verdict.PASS, reason="")
        self._decide(Observation(gates=(gate,)))
        while self._status.phase is Phase.PROGRESSING:
            step = self._spec.steps[self._status.step]
            if step.compares:
                self._compare(step, self._status.step)
            else:
                self._pass_by(step)
        if self._status.phase is Phase.PROMOTING:
            self._decide(Observation(serving=_CHALLENGER))
        return self._outcome()

    def _outcome(self) -> SimulatedRollout:
        status = self._status
        end = "promoted" if status.phase is Phase.SUCCEEDED else "aborted"
        if "not promoted within" in (status.abort_reason or ""):
            end = "held"
        needed = sum(step.min_samples for step in self._spec.steps if step.weight)
        unmeasured = end == "promoted" and min(self._requests, status.sampled) < needed
        return SimulatedRollout(end, self._requests, self._now - self._start, unmeasured)

    def _decide(self, observation: Observation) -> None:
        of = observation.model_copy(update={"of": self._status.mark})
        self._status = decide(self._spec, self._status, of, self._now).status

    def _pass_by(self, step: RolloutStep) -> None:
        """Simulate a step without a comparison, which needs time and samples only."""
        per_s = self._per_s() * (step.weight / _WHOLE or step.shadow)
        self._now += max(step.min_duration_s, step.min_samples / per_s)
        if step.weight:
            self._requests += step.min_samples
        self._decide(Observation(samples=step.min_samples))

    def _compare(self, step: RolloutStep, number: int) -> None:
        """Simulate the looks of a step until it ends."""
        evidence, samples = Evidence(), 0
        while self._status.phase is Phase.PROGRESSING and self._status.step == number:
            per_s = self._per_s() * step.weight / _WHOLE
            wanted = self._next_look(step, samples, per_s)
            lasts_s = (wanted - samples) / per_s
            if self._now + lasts_s > self._start + self._spec.deadline_s:
                self._now = self._start + self._spec.deadline_s + 1
                self._decide(Observation(samples=samples))
                return
            new = wanted - samples
            share = (_WHOLE - step.weight) / step.weight
            others = int(self._rng.poisson(new * share))
            for side, requests in ((RolloutSide.CHALLENGER, new), (RolloutSide.CHAMPION, others)):
                span = {"from_s": self._now, "lasts_s": lasts_s}
                draw(self._rng, self._scenario, side, requests, **span, into=evidence)
            self._requests += new
            samples = wanted
            self._now += lasts_s
            looks = self._status.looks
            analyses = judge(self._spec, step, evidence, looks=looks, effects=False)
            self._decide(Observation(samples=samples, looked=True, analyses=analyses))

    def _per_s(self) -> float:
        return self._scenario.rate(self._now)

    def _next_look(self, step: RolloutStep, samples: int, per_s: float) -> int:
        """The next number of samples at which a look is due, at least the analyses' minimum."""
        least = min(analysis.min_samples for analysis in self._spec.analyses)
        wanted = max(samples + math.ceil(per_s * _TICK_S), least)
        while not look_due(wanted, samples, self._spec, step):
            wanted += 1
        return wanted


if __name__ == "__main__":
    main()
