"""Compares size, speed and quality of weight formats: the table of docs/formats.md.

Run as ``python -m enginehouse.perf.formats_table DIRECTORY [ROUNDS]``. It builds the default model
in each format in the directory, unless it exists, and measures the raw pipelines alternately.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import median

from enginehouse.build.bundle_writer import build_bundle
from enginehouse.build.default_checkpoint import DEFAULT_MODEL, default_checkpoint
from enginehouse.build.formats import WeightFormat
from enginehouse.build.openvino import OpenVinoBuilder
from enginehouse.build.plan import BuildPlan
from enginehouse.perf.bench import RawSide
from enginehouse.perf.workload import BurstWorkload

from enginehouse.bundle import Bundle

_STREAMS = (1, 16)
_TTFT_SAMPLES = 5
_MIB = 2**20
_HEAD = (
    "| format | size MiB | tokens/s at 1 | tokens/s at 16 | TTFT p50 ms at 1 | perplexity ratio | "
    "KL nats | equal greedy tokens | tasks |\n|---|" + "---:|" * 8
)


def main() -> None:
    """Measure and print a Markdown table."""
    directory = Path(sys.argv[1])
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3  # noqa: PLR2004 - optional argument
    bundles = {name: _bundle(directory, name) for name in OpenVinoBuilder.formats}
    rates: dict[str, dict[int, list[float]]] = {f: {n: [] for n in _STREAMS} for f in bundles}
    firsts: dict[str, list[float]] = {f: [] for f in bundles}
    sides = {f: RawSide(b, b.manifest.engine_settings) for f, b in bundles.items()}
    try:
        for side in sides.values():
            side.run(BurstWorkload(16, 9_000, new_tokens=16))
        for number in range(rounds):
            for streams in _STREAMS:
                for name, side in sides.items():
                    seconds, traces, _ = side.run(BurstWorkload(streams, 100 * number + streams))
                    rates[name][streams].append(sum(t.tokens for t in traces) / seconds)
            for sample in range(_TTFT_SAMPLES):
                for name, side in sides.items():
                    burst = BurstWorkload(1, 5_000 + 100 * number + sample, new_tokens=1)
                    firsts[name].append(side.run(burst)[1][0].first_s)
    finally:
        for side in sides.values():
            side.close()
    print(_HEAD)  # noqa: T201 - a command
    for name, bundle in bundles.items():
        print(_row(name, bundle, rates[name], firsts[name]))  # noqa: T201 - same


def _bundle(directory: Path, weight_format: WeightFormat) -> Bundle:
    output = directory / f"{DEFAULT_MODEL}-{weight_format}"
    if output.exists():
        return Bundle.open(output)
    plan = BuildPlan(
        default_checkpoint(), DEFAULT_MODEL, "openvino", output, weight_format=weight_format
    )
    return build_bundle(plan, lambda _: None)


def _row(name: str, bundle: Bundle, rates: dict[int, list[float]], firsts: list[float]) -> str:
    quality = bundle.manifest.quality
    if quality is None or quality.perplexity_ratio is None or quality.mean_kl_nats is None:
        raise SystemExit(f"{bundle.path} was built without a proof: remove it")
    cells = [
        name,
        f"{bundle.manifest.size_bytes / _MIB:.0f}",
        *(f"{median(rates[streams]):.0f}" for streams in _STREAMS),
        f"{1000 * median(firsts):.0f}",
        f"{quality.perplexity_ratio:.3f}",
        f"{quality.mean_kl_nats:.4f}",
        f"{quality.equal_tokens_share:.2f}",
        f"{quality.tasks_solved} of {quality.tasks_total}",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
