"""Compares one engine with several on the same CPUs: the figures of docs/engine-settings.md.

Run as ``python -m enginehouse.perf.instances_sweep BUNDLE [ROUNDS]``. One stack of each kind runs.
They are measured alternately, so that a drift of the machine's speed affects all alike.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from enginehouse.perf.bench import PathSide
from enginehouse.perf.private_stack import MODEL, private_home, running
from enginehouse.perf.workload import BurstWorkload

from enginehouse.bundle import Bundle

_INSTANCES = (1, 2)
_STREAMS = (1, 2, 4, 8, 16, 32)


def main() -> None:
    """Measure and print a Markdown table."""
    bundle = Bundle.open(Path(sys.argv[1]))
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3  # noqa: PLR2004 - optional argument
    rates: dict[int, dict[int, list[float]]] = {i: {n: [] for n in _STREAMS} for i in _INSTANCES}
    with ExitStack() as cleanup:
        sides = {i: _start(cleanup, bundle, i) for i in _INSTANCES}
        for side in sides.values():
            side.run(BurstWorkload(16, 9_000, new_tokens=16))
        for number in range(rounds):
            for streams in _STREAMS:
                for instances, side in sides.items():
                    seconds, traces, _ = side.run(BurstWorkload(streams, 100 * number + streams))
                    rates[instances][streams].append(sum(t.tokens for t in traces) / seconds)
    print("| instances | " + " | ".join(f"{n}: tokens/s" for n in _STREAMS) + " |")  # noqa: T201
    print("|---|" + "---:|" * len(_STREAMS))  # noqa: T201 - a command
    for instances, by_streams in rates.items():
        cells = [f"{median(values):.0f}" for values in by_streams.values()]
        print(f"| {instances} | {' | '.join(cells)} |")  # noqa: T201 - same


def _start(cleanup: ExitStack, bundle: Bundle, instances: int) -> PathSide:
    """Start a private stack and return its whole path."""
    env = cleanup.enter_context(private_home(bundle))
    setting = {"ENGINEHOUSE_ENGINE_INSTANCES": str(instances)}
    stack = cleanup.enter_context(running(env | setting))
    return PathSide(stack.settings, MODEL)


if __name__ == "__main__":
    main()
