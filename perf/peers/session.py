"""Runs a session: all sides are started, one computes at a time, and rounds are interleaved."""

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
#: A small burst before each measured one, because the other sides have replaced the CPU caches.
_WAKE_ROUND = 40_000
_WAKE_TOKENS = 8
#: Seconds to wait before that, for work that became due while a side was suspended.
_REST_S = 1.0

Report = Callable[[str], None]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """The plan of a session.

    Attributes:
        home: directory for all files of the session.
        streams: numbers of streams of each round.
    """

    home: Path
    peers: tuple[Peer, ...]
    streams: tuple[int, ...]
    rounds: int


def run_session(plan: SessionPlan, report: Report) -> dict[str, Any]:
    """Install, start, warm up and measure all sides; return the report's data.

    A peer that cannot be installed or started is left out, with the reason in the report.

    Raises:
        EnginehouseError: if a side fails during the measurement, which makes it invalid.
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
    """The engine in a private home, which ignores the user's settings, and the peers' checkpoint.

    Raises:
        EnginehouseError: if one of them cannot be built.
    """
    settings = Settings(home / OURS.name)
    ensure_model(settings, Registry(settings), report)
    bundle = Bundle.open(settings.bundles_dir / DEFAULT_MODEL)
    return bundle, prepare_checkpoint(default_checkpoint(), bundle, home / "checkpoint")


def _entered(
    opened: ExitStack, peer: Peer, home: Path, checkpoint: PeerCheckpoint, report: Report
) -> tuple[ServedSide, list[str]]:
    """A peer's suspended server and its answers; a server that fails is ended."""
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
    """Mean length of the common prefix of greedy answers, as a share of ours, from 0 to 1.

    With the same model and tokenizer answers differ only after some text, because of rounding. With
    another model or tokenizer they differ from the start.
    """
    shares = [_common(a, b) / max(1, len(a)) for a, b in zip(ours, theirs, strict=True)]
    return round(mean(shares), 2)


def _common(a: str, b: str) -> int:
    """Length of the common prefix of two texts."""
    pairs = zip(a, b, strict=False)
    return next((at for at, (x, y) in enumerate(pairs) if x != y), min(len(a), len(b)))


def in_turn(sides: Sequence[_T], number: int) -> list[_T]:
    """The sides rotated by `number`, so that a drift of the machine's speed affects all alike."""
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
