"""One session: all sides up, one computing at a time, rounds interleaved."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, TypeVar

from enginehouse.build.default_checkpoint import DEFAULT_MODEL, default_checkpoint
from enginehouse.perf.bench import BenchSide
from enginehouse.perf.peers.checkpoints import prepare_checkpoint
from enginehouse.perf.peers.environment import ensure_environment
from enginehouse.perf.peers.peer import Peer, PeerCheckpoint, Place
from enginehouse.perf.peers.roster import OURS
from enginehouse.perf.peers.sides import Burst, ServedSide, raw_pipeline, served
from enginehouse.perf.ports import free_ports
from enginehouse.perf.workload import BurstWorkload
from enginehouse.registry import Registry
from enginehouse.stack.default_model import ensure_model

from enginehouse.bundle import Bundle
from enginehouse.errors import EnginehouseError
from enginehouse.settings import Settings

_WARM_UP_ROUND = 10_000
_WARM_UP_TOKENS = 32
#: Before each burst, so that no side is measured on cold caches after others had the cores.
_WAKE_ROUND = 40_000
_WAKE_TOKENS = 8
#: Before that, in seconds: what was due while a side was stopped is done when it is asked.
_REST_S = 1.0

Report = Callable[[str], None]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """What is measured.

    Attributes:
        home: directory of everything that this makes.
        streams: stream counts of each round.
    """

    home: Path
    peers: tuple[Peer, ...]
    streams: tuple[int, ...]
    rounds: int


def run_session(plan: SessionPlan, report: Report) -> dict[str, Any]:
    """Install, start, warm up and measure; the report's data.

    A peer that cannot be installed or started is left out, with its reason.

    Raises:
        EnginehouseError: if a side fails while it is measured: then no figure can be trusted.
    """
    bundle, checkpoint = prepared(plan.home, report)
    left_out: dict[str, str] = {}
    with ExitStack() as opened:
        raw = opened.enter_context(raw_pipeline(bundle))
        raw.hold()
        ours, texts = _entered(opened, OURS, plan.home, checkpoint, report)
        sides: list[Burst] = [raw, ours]
        agreement = {}
        for peer in plan.peers:
            try:
                side, said = _entered(opened, peer, plan.home, checkpoint, report)
            except EnginehouseError as error:
                left_out[peer.name] = str(error)
                report(f"without {peer.name}: {error}")
                continue
            sides.append(side)
            agreement[peer.name] = same_start(texts, said)
        results = _measure(sides, plan, report)
        return _collect(sides, results, agreement, left_out)


def prepared(home: Path, report: Report) -> tuple[Bundle, PeerCheckpoint]:
    """Our engine, in a home of its own so that nobody's settings reach it, and peers' forms of it.

    Raises:
        EnginehouseError: if one cannot be made.
    """
    settings = Settings(home / OURS.name)
    ensure_model(settings, Registry(settings), report)
    bundle = Bundle.open(settings.bundles_dir / DEFAULT_MODEL)
    return bundle, prepare_checkpoint(default_checkpoint(), bundle, home / "checkpoint")


def _entered(
    opened: ExitStack, peer: Peer, home: Path, checkpoint: PeerCheckpoint, report: Report
) -> tuple[ServedSide, list[str]]:
    """A peer's running server, held, and what it says; nothing of it is left if it fails."""
    report(f"preparing {peer.name}")
    own = home / peer.name
    python = ensure_environment(peer, own)
    own.mkdir(parents=True, exist_ok=True)
    place = Place(python, own, free_ports(1)[0], checkpoint)
    with ExitStack() as tried:
        side = tried.enter_context(served(peer, place, report))
        said = side.texts()
        side.hold()
        opened.push(tried.pop_all())
    return side, said


def same_start(ours: Sequence[str], theirs: Sequence[str]) -> float:
    """Mean share of our greedy answers that another's begin with, from 0 to 1.

    Arithmetic of one precision differs in its rounding, so answers part somewhere; those of
    another model or tokenizer part at once.
    """
    shares = [_common(a, b) / max(1, len(a)) for a, b in zip(ours, theirs, strict=True)]
    return round(mean(shares), 2)


def _common(a: str, b: str) -> int:
    """Characters with which both begin."""
    pairs = zip(a, b, strict=False)
    return next((at for at, (x, y) in enumerate(pairs) if x != y), min(len(a), len(b)))


def in_turn(sides: Sequence[_T], number: int) -> list[_T]:
    """Another one begins each time, so that a drifting machine favours nobody."""
    shift = number % len(sides)
    return [*sides[shift:], *sides[:shift]]


def _measure(
    sides: list[Burst], plan: SessionPlan, report: Report
) -> dict[str, dict[int, BenchSide]]:
    results = {side.about.name: {n: BenchSide() for n in plan.streams} for side in sides}
    for side in sides:
        report(f"warming up {side.about.name}")
        with _awake(side):
            for step, streams in enumerate(plan.streams):
                side.run(BurstWorkload(streams, _WARM_UP_ROUND + step, new_tokens=_WARM_UP_TOKENS))
    for number in range(plan.rounds):
        for step, streams in enumerate(plan.streams):
            place = number * len(plan.streams) + step
            report(f"round {number + 1} of {plan.rounds}: {streams} streams")
            for side in in_turn(sides, place):
                with _awake(side):
                    time.sleep(_REST_S)
                    side.run(BurstWorkload(1, _WAKE_ROUND + place, new_tokens=_WAKE_TOKENS))
                    results[side.about.name][streams].add(*side.run(BurstWorkload(streams, place)))
    return results


@contextmanager
def _awake(side: Burst) -> Iterator[None]:
    side.resume()
    try:
        yield
    finally:
        side.hold()


def _collect(
    sides: list[Burst],
    results: dict[str, dict[int, BenchSide]],
    agreement: dict[str, float],
    left_out: dict[str, str],
) -> dict[str, Any]:
    return {
        "sides": [
            {
                "name": side.about.name,
                "title": side.about.title,
                "kind": str(side.about.kind),
                "version": side.about.version,
                "command": " ".join(side.about.command),
                "start_s": round(side.about.start_s, 1),
                "rss_bytes": side.rss_bytes(),
                "same_start_as_ours": agreement.get(side.about.name),
                "streams": {str(n): s.summary() for n, s in results[side.about.name].items()},
            }
            for side in sides
        ],
        "left_out": left_out,
    }
