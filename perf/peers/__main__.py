"""``python -m enginehouse.perf.peers [--rounds N] [--only name,name] [--streams 1,16]``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from enginehouse.perf.peers.report import write_report
from enginehouse.perf.peers.roster import PEERS, chosen
from enginehouse.perf.peers.session import SessionPlan, run_session
from enginehouse.perf.workload import STREAMS, BurstWorkload

from enginehouse.errors import EnginehouseError, SettingsError
from enginehouse.host import host_fingerprint
from enginehouse.settings import load_settings

_MODEL = "SmolLM2-135M-Instruct, 16-bit weights"
_ROUNDS = 5
_TERMINATED = 128 + signal.SIGTERM


def main() -> None:
    """Measure and write `peers.json` and `peers.md`."""
    # SIGTERM ends the started processes like Ctrl-C, including suspended ones.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))
    try:
        _run(_arguments())
    except EnginehouseError as error:
        raise SystemExit(f"bench-peers: {error}") from error


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m enginehouse.perf.peers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help="of each side; medians count")
    names = ",".join(peer.name for peer in PEERS)
    parser.add_argument("--only", help=f"these of {names}; the limit and ours always run")
    streams = ",".join(map(str, STREAMS))
    parser.add_argument("--streams", default=streams, help=f"stream counts, default {streams}")
    return parser.parse_args()


def stream_counts(text: str) -> tuple[int, ...]:
    """Parse comma-separated stream counts.

    Raises:
        SettingsError: if one is not a positive number.
    """
    counts = tuple(int(word) if word.strip().isdecimal() else 0 for word in text.split(","))
    if not all(counts):
        raise SettingsError(f"--streams {text}: give numbers above 0, such as 1,16")
    return counts


def _run(arguments: argparse.Namespace) -> None:
    settings = load_settings(os.environ, cwd=Path.cwd())
    if arguments.rounds < 1:
        raise SettingsError(f"--rounds {arguments.rounds}: give 1 or more")
    plan = SessionPlan(
        settings.home / "peers",
        chosen(arguments.only),
        stream_counts(arguments.streams),
        arguments.rounds,
    )
    measured = run_session(plan, _say)
    data = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": host_fingerprint().model_dump(),
        "command": _command(),
        "model": _MODEL,
        "new_tokens": BurstWorkload(1, 0).new_tokens,
        "rounds": plan.rounds,
        **measured,
    }
    path = write_report(data, settings.reports_dir)
    sys.stdout.write(path.read_text(encoding="utf-8"))
    _say(f"report: {path}")


def _command() -> str:
    options = " ".join(sys.argv[1:])
    return f"python -m enginehouse.perf.peers {options}" if options else "make bench-peers"


def _say(text: str) -> None:
    sys.stderr.write(f"· {text}\n")


if __name__ == "__main__":
    main()
