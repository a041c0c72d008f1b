"""Compares settings of one peer, to choose those of docs/peers.md.

Run as ``python -m enginehouse.perf.peers.settings_sweep PEER [VARIANT,VARIANT] [ROUNDS]``. The
first variant is always the chosen settings. All servers run, and one computes at a time.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from enginehouse.perf.peers.environment import ensure_environment
from enginehouse.perf.peers.peer import Launch, Peer, Place
from enginehouse.perf.peers.roster import chosen
from enginehouse.perf.peers.server import PeerServer
from enginehouse.perf.peers.session import in_turn, prepared
from enginehouse.perf.ports import free_ports
from enginehouse.perf.workload import BurstWorkload

from enginehouse.errors import EnginehouseError, SettingsError
from enginehouse.settings import load_settings

_STREAMS = (1, 16)
_ROUNDS = 3
_WARM_UP_ROUND = 60_000
_WAKE_TOKENS = 8
_CHOSEN = "chosen"


@dataclass(frozen=True, slots=True)
class SettingsVariant:
    """The differences from the chosen settings.

    Attributes:
        options: values by option; None removes the option, an empty value makes it a flag.
        env: environment variables to set.
    """

    options: Mapping[str, str | None] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)


_VARIANTS: dict[str, dict[str, SettingsVariant]] = {
    "vllm": {
        "OpenMP bound to all cores but one (its own choice)": SettingsVariant(
            env={"VLLM_CPU_OMP_THREADS_BIND": "auto"}
        ),
        "no preloaded libraries": SettingsVariant(env={"LD_PRELOAD": ""}),
        "not compiled": SettingsVariant({"--enforce-eager": ""}),
        "float16": SettingsVariant({"--dtype": "float16"}),
        "batched tokens 1024": SettingsVariant({"--max-num-batched-tokens": "1024"}),
    },
    "llama-server": {
        "no flash attention": SettingsVariant({"--flash-attn": "off"}),
        "one KV cache for all slots": SettingsVariant({"--kv-unified": ""}),
        "KV cache q8_0": SettingsVariant({"--cache-type-k": "q8_0", "--cache-type-v": "q8_0"}),
        "physical batch 128": SettingsVariant({"--ubatch-size": "128"}),
        "physical batch 2048": SettingsVariant({"--ubatch-size": "2048"}),
        "no polling": SettingsVariant({"--poll": "0"}),
        "sampling in the graph": SettingsVariant({"--backend-sampling": ""}),
    },
    "transformers": {
        "batched tokens 64": SettingsVariant({"--cb-max-batch-tokens": "64"}),
        "batched tokens 1024": SettingsVariant({"--cb-max-batch-tokens": "1024"}),
        "batched tokens 8192 (its own choice)": SettingsVariant({"--cb-max-batch-tokens": None}),
        "pages of 32 tokens": SettingsVariant({"--cb-block-size": "32", "--cb-num-blocks": "512"}),
        "attention by SDPA": SettingsVariant({"--attn-implementation": "sdpa"}),
        "one thread": SettingsVariant(env={"OMP_NUM_THREADS": "1"}),
        "float32": SettingsVariant({"--dtype": "float32"}),
        "compiled": SettingsVariant({"--compile": ""}),
    },
}


@dataclass
class _Running:
    server: PeerServer
    rates: dict[int, list[float]]
    first_s: dict[int, list[float]]

    def burst(self, streams: int, place: int) -> None:
        """Measure one burst while all other servers are suspended."""
        self.server.resume()
        try:
            self.server.ask(BurstWorkload(1, _WARM_UP_ROUND + place).conversations(), _WAKE_TOKENS)
            workload = BurstWorkload(streams, place)
            seconds, answers = self.server.ask(workload.conversations(), workload.new_tokens)
        finally:
            self.server.hold()
        self.rates[streams].append(streams * workload.new_tokens / seconds)
        self.first_s[streams].append(median(answer.trace.first_s for answer in answers))


def main() -> None:
    """Measure and print a Markdown table."""
    if len(sys.argv) < 2 or sys.argv[1] not in _VARIANTS:  # noqa: PLR2004 - the command itself
        raise SystemExit(f"usage: … settings_sweep {'|'.join(_VARIANTS)} [VARIANT,…] [ROUNDS]")
    # SIGTERM ends the started processes like Ctrl-C, including suspended ones.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    [peer] = chosen(sys.argv[1])
    names = sys.argv[2].split(",") if sys.argv[2:] and sys.argv[2] else None
    rounds = int(sys.argv[3]) if sys.argv[3:] else _ROUNDS
    try:
        print(_sweep(peer, wanted(peer.name, names), rounds))  # noqa: T201 - a command
    except EnginehouseError as error:
        raise SystemExit(str(error)) from error


def wanted(peer: str, names: list[str] | None) -> dict[str, SettingsVariant]:
    """The chosen settings and the variants with these names; None means all variants.

    Raises:
        SettingsError: if a name is unknown; lists the known ones.
    """
    known = _VARIANTS[peer]
    for name in names or ():
        if name not in known:
            raise SettingsError(f"{name}: no such variant; there are {', '.join(known)}")
    return {_CHOSEN: SettingsVariant(), **{name: known[name] for name in names or known}}


def changed(launch: Launch, variant: SettingsVariant) -> Launch:
    """A command with the settings of a variant."""
    argv = list(launch.argv)
    for option, value in variant.options.items():
        if option in argv:
            at = argv.index(option)
            del argv[at : at + 2]
        if value is not None:
            argv += [option, value] if value else [option]
    return replace(launch, argv=tuple(argv), env={**launch.env, **variant.env})


def _sweep(peer: Peer, variants: Mapping[str, SettingsVariant], rounds: int) -> str:
    home = load_settings(os.environ, cwd=Path.cwd()).home / "peers"
    python = ensure_environment(peer, home / peer.name)
    _, checkpoint = prepared(home, _say)
    running: dict[str, _Running] = {}
    with ExitStack() as opened:
        for number, (name, variant) in enumerate(variants.items()):
            place = Place(python, home / peer.name, free_ports(1)[0], checkpoint)
            launch = changed(peer.launch(place), variant)
            log = place.home / f"sweep-{number}.log"
            try:
                server = PeerServer(name, launch, peer.dialect(place), place.port, log)
            except EnginehouseError as error:
                _say(f"without {name!r}: {error}")
                continue
            opened.callback(server.close)
            running[name] = _started(server)
            _say(f"{name} is up")
        for number in range(rounds):
            for step, streams in enumerate(_STREAMS):
                place_of_burst = number * len(_STREAMS) + step
                for one in in_turn(list(running.values()), place_of_burst):
                    one.burst(streams, place_of_burst)
            _say(f"round {number + 1} of {rounds}")
    return _table(running)


def _started(server: PeerServer) -> _Running:
    for streams in _STREAMS:
        server.ask(BurstWorkload(streams, _WARM_UP_ROUND).conversations(), _WAKE_TOKENS)
    server.hold()
    return _Running(server, {n: [] for n in _STREAMS}, {n: [] for n in _STREAMS})


def _say(text: str) -> None:
    sys.stderr.write(f"· {text}\n")


def _table(running: Mapping[str, _Running]) -> str:
    """A table of medians, and of the median ratio to the chosen settings in the same round."""
    base = running[_CHOSEN]
    head = " | ".join(f"{n}: tokens/s | of chosen | TTFT p50 ms" for n in _STREAMS)
    rows = [f"| settings | {head} |", "|---|" + "---:|" * (3 * len(_STREAMS))]
    for name, one in running.items():
        cells = []
        for n in _STREAMS:
            pairs = zip(one.rates[n], base.rates[n], strict=True)
            cells.append(f"{median(one.rates[n]):.0f}")
            cells.append(f"{median(a / b for a, b in pairs):.2f}")
            cells.append(f"{1000 * median(one.first_s[n]):.0f}")
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows)


if __name__ == "__main__":
    main()
