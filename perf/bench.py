"""`enginehouse bench`: measures the raw pipeline and the whole path alternately in one run."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from enginehouse.client import Target, TritonClient
from enginehouse.perf.load.http import burst
from enginehouse.perf.processes import StackProcesses
from enginehouse.perf.workload import NEW_TOKENS, STREAMS, BurstWorkload, Trace

from enginehouse.bundle import Bundle
from enginehouse.errors import StackError
from enginehouse.generation import GenerationRequest
from enginehouse.manifest import EngineSettings
from enginehouse.settings import Settings
from enginehouse.text import ChatTemplate, Tokenizer

_TTFT_SAMPLES = 20
_WARM_UP_ROUND = 10_000
_TTFT_ROUND = 20_000

Report = Callable[[str], None]


@dataclass(slots=True)
class BenchSide:
    """The results of all bursts of one side at one number of streams."""

    tokens_per_s: list[float] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)
    cpu_seconds: list[dict[str, float]] = field(default_factory=list)

    def add(self, seconds: float, traces: list[Trace], cpu_seconds: dict[str, float]) -> None:
        """Add the results of one burst."""
        self.tokens_per_s.append(sum(trace.tokens for trace in traces) / seconds)
        self.traces.extend(traces)
        self.cpu_seconds.append(cpu_seconds)

    def summary(self) -> dict[str, Any]:
        """Medians and spread; the keys name the units."""
        gaps = [gap for trace in self.traces for gap in trace.gaps_s]
        return {
            "tokens_per_s": round(median(self.tokens_per_s), 1),
            "tokens": round(sum(trace.tokens for trace in self.traces) / len(self.tokens_per_s)),
            "tokens_per_s_runs": [round(value, 1) for value in self.tokens_per_s],
            "ttft_ms": _percentiles([trace.first_s for trace in self.traces]),
            "inter_token_ms": _percentiles([trace.inter_token_s for trace in self.traces]),
            "response_gap_ms": _percentiles(gaps),
            "cpu_seconds": {
                role: round(median(run[role] for run in self.cpu_seconds), 2)
                for role in self.cpu_seconds[0]
            },
        }


def _percentiles(values_s: list[float]) -> dict[str, float]:
    ordered = sorted(values_s) or [0.0]
    return {
        f"p{p}": round(1000 * ordered[min(len(ordered) - 1, int(len(ordered) * p / 100))], 2)
        for p in (50, 95)
    }


class RawSide:
    """The raw pipeline in a child process."""

    def __init__(self, bundle: Bundle, settings: EngineSettings) -> None:
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "enginehouse.perf.raw_side",
                str(bundle.path),
                settings.model_dump_json(),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, workload: BurstWorkload) -> tuple[float, list[Trace], dict[str, float]]:
        """Run one burst: seconds, traces, and CPU seconds by role.

        Raises:
            StackError: if the child process has ended.
        """
        assert self._process.stdin is not None  # noqa: S101 - opened as pipes above
        assert self._process.stdout is not None  # noqa: S101
        order = {
            "streams": workload.streams,
            "round": workload.round,
            "new_tokens": workload.new_tokens,
        }
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise StackError("the raw pipeline's process ended; see its messages above")
        result = json.loads(line)
        traces = [Trace(arrivals, tokens) for arrivals, tokens in result["traces"]]
        return result["seconds"], traces, result["cpu_seconds"]

    def close(self) -> None:
        """End the child process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()


class PathSide:
    """The whole path of a running stack."""

    def __init__(self, settings: Settings, model: str) -> None:
        self._url = f"{settings.addresses.api_url}/v1/chat/completions"
        self._model = model
        self.processes = StackProcesses.find(settings.addresses)

    def run(self, workload: BurstWorkload) -> tuple[float, list[Trace], dict[str, float]]:
        """Run one burst over HTTP: seconds, traces, and CPU seconds by role."""
        before = self.processes.cpu_seconds()
        seconds, traces = burst(
            self._url, [self._body(m, workload) for m in workload.conversations()]
        )
        after = self.processes.cpu_seconds()
        return seconds, traces, {role: after[role] - before[role] for role in after}

    def _body(self, messages: list[dict[str, str]], workload: BurstWorkload) -> dict[str, Any]:
        return {
            "model": self._model,
            "messages": messages,
            "max_tokens": workload.new_tokens,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }


@contextmanager
def _raw_side(bundle: Bundle, settings: EngineSettings) -> Iterator[RawSide]:
    side = RawSide(bundle, settings)
    try:
        yield side
    finally:
        side.close()


def run_bench(
    settings: Settings,
    target: Target,
    bundle: Bundle,
    engine: EngineSettings,
    *,
    rounds: int,
    tokens: int = NEW_TOKENS,
    report: Report,
) -> dict[str, Any]:
    """Measure both sides alternately, `rounds` times, and return the report's data.

    Args:
        settings: of the running stack.
        target: a model and version that the running stack serves.
        bundle: that version's bundle.
        engine: its engine settings, which the raw side uses as well.
        rounds: bursts of each side at each number of streams.
        tokens: tokens of each answer.
        report: called with a line of progress.

    Raises:
        EnginehouseError: if a side or any request fails.
    """
    results = {side: {n: BenchSide() for n in STREAMS} for side in ("raw", "path")}
    path = PathSide(settings, target.model)
    with _raw_side(bundle, engine) as raw:
        report("warming up both sides")
        for side in (raw, path):
            side.run(BurstWorkload(STREAMS[-1], _WARM_UP_ROUND, new_tokens=min(32, tokens)))
        for number in range(rounds):
            for streams in STREAMS:
                place = number * len(STREAMS) + STREAMS.index(streams)
                workload = BurstWorkload(streams, place, tokens)
                report(f"round {number + 1} of {rounds}: {streams} streams")
                for name, side in _in_turn(number, raw, path):
                    results[name][streams].add(*side.run(workload))
    ttft = _adapter_ttft(settings, target, bundle, path, report)
    return _collect(results, ttft, path, engine)


def _in_turn(number: int, raw: RawSide, path: PathSide) -> list[tuple[str, RawSide | PathSide]]:
    """The sides in alternating order, so that a drift of the machine's speed affects both alike."""
    pair: list[tuple[str, RawSide | PathSide]] = [("raw", raw), ("path", path)]
    return pair if number % 2 == 0 else pair[::-1]


def _adapter_ttft(
    settings: Settings, target: Target, bundle: Bundle, path: PathSide, report: Report
) -> dict[str, Any]:
    """TTFT at one stream, alternately through the adapter and directly to `.tensorrt_llm`."""
    report(f"time to first token with and without the adapter, {_TTFT_SAMPLES} pairs")
    template = ChatTemplate(bundle.chat_template, Tokenizer.from_file(bundle.tokenizer_path))
    adapter, direct = [], []
    with TritonClient(settings.addresses.triton_grpc_url) as client:
        for sample in range(_TTFT_SAMPLES):
            # The sides use different prompts, so that the second does not hit the prefix cache.
            workload = BurstWorkload(1, _TTFT_ROUND + 2 * sample, new_tokens=2)
            adapter.append(path.run(workload)[1][0].first_s)
            other = BurstWorkload(1, _TTFT_ROUND + 2 * sample + 1, new_tokens=2)
            direct.append(_direct_first_s(client, target, template, other))
    return {
        "adapter_ms": _percentiles(adapter),
        "direct_ms": _percentiles(direct),
        "added_ms": round(1000 * (median(adapter) - median(direct)), 2),
        "pairs": _TTFT_SAMPLES,
    }


def _direct_first_s(
    client: TritonClient, target: Target, template: ChatTemplate, workload: BurstWorkload
) -> float:
    ids = template.encode(workload.conversations()[0])
    began = time.perf_counter()
    chunks = client.generate(target, GenerationRequest(ids, workload.new_tokens))
    next(chunks)
    first = time.perf_counter() - began
    for _ in chunks:
        pass
    return first


def _collect(
    results: dict[str, dict[int, BenchSide]],
    ttft: dict[str, Any],
    path: PathSide,
    engine: EngineSettings,
) -> dict[str, Any]:
    ratios = {
        str(streams): round(
            median(
                p / r
                for p, r in zip(
                    results["path"][streams].tokens_per_s,
                    results["raw"][streams].tokens_per_s,
                    strict=True,
                )
            ),
            3,
        )
        for streams in STREAMS
    }
    return {
        "ratios": {"path_over_raw": ratios},
        "adapter_ttft": ttft,
        "sides": {
            name: {str(n): side.summary() for n, side in by_streams.items()}
            for name, by_streams in results.items()
        },
        "rss_bytes": path.processes.rss_bytes(),
        "engine_settings": engine.model_dump(),
    }
