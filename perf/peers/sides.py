"""The two kinds of sides in a comparison: the raw pipeline, and a server over HTTP."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil
from enginehouse.perf.bench import RawSide
from enginehouse.perf.peers.environment import installed_version
from enginehouse.perf.peers.peer import Peer, Place, SideRole
from enginehouse.perf.peers.server import PeerServer
from enginehouse.perf.workload import BurstWorkload, Trace

from enginehouse.bundle import Bundle
from enginehouse.errors import ServingError, StackError
from enginehouse.host import package_version

_STARTED = "started-once"
#: Questions that this model answers, and a word of the answer. Rounding to BF16 may change one.
_QUESTIONS = {
    "What is the capital of France?": "Paris",
    "Name a colour of the sky.": "blue",
    "What is 2+2?": "4",
}
_RIGHT_AT_LEAST = 2
_TEXT_TOKENS = 48
_TEXT_ROUND = 70_000


@dataclass(frozen=True, slots=True)
class Description:
    """The description of a side in the table."""

    name: str
    title: str
    kind: SideRole
    version: str
    start_s: float
    command: tuple[str, ...] = ()


class Burst(Protocol):
    """A side that can be measured."""

    @property
    def about(self) -> Description:
        """Its description."""

    def run(self, workload: BurstWorkload) -> tuple[float, list[Trace], dict[str, float]]:
        """Run one burst: seconds, traces, and CPU seconds of all its processes."""

    def rss_bytes(self) -> int:
        """Current resident memory."""

    def hold(self) -> None:
        """Suspend it, so that it uses no CPU until `resume`."""

    def resume(self) -> None:
        """Resume it."""


class RawPipeline:
    """The raw pipeline in a child process; between bursts it waits for its standard input."""

    def __init__(self, bundle: Bundle) -> None:
        """Start it with the settings of the bundle and run one request."""
        before = set(psutil.Process().children())
        began = time.monotonic()
        self._raw = RawSide(bundle, bundle.manifest.engine_settings)
        self._process = next(iter(set(psutil.Process().children()) - before))
        self._raw.run(BurstWorkload(1, _TEXT_ROUND, new_tokens=1))
        version = f"openvino-genai {package_version('openvino-genai')}"
        self.about = Description(
            "raw", "raw pipeline (the limit)", SideRole.LIMIT, version, time.monotonic() - began
        )

    def run(self, workload: BurstWorkload) -> tuple[float, list[Trace], dict[str, float]]:
        """See `Burst`."""
        seconds, traces, cpu_s = self._raw.run(workload)
        return seconds, traces, {"all": cpu_s["engine"]}

    def rss_bytes(self) -> int:
        """See `Burst`."""
        return int(self._process.memory_info().rss)

    def hold(self) -> None:
        """See `Burst`."""
        self._process.suspend()

    def resume(self) -> None:
        """See `Burst`."""
        self._process.resume()

    def close(self) -> None:
        """End the child process."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self.resume()
        self._raw.close()


class ServedSide:
    """A server that is measured over HTTP."""

    def __init__(self, about: Description, server: PeerServer) -> None:
        self.about = about
        self._server = server

    def run(self, workload: BurstWorkload) -> tuple[float, list[Trace], dict[str, float]]:
        """See `Burst`."""
        before = self._server.cpu_s()
        seconds, answers = self._server.ask(workload.conversations(), workload.new_tokens)
        cpu_s = self._server.cpu_s() - before
        return seconds, [answer.trace for answer in answers], {"all": cpu_s}

    def texts(self) -> list[str]:
        """Greedy answers to four prompts, to compare with those of other sides.

        Raises:
            StackError: if the answers are wrong, which means that weights, template or tokenizer
                are not those of the model.
        """
        asked = [[{"role": "user", "content": question}] for question in _QUESTIONS]
        _, known = self._server.ask(asked, _TEXT_TOKENS)
        words = _QUESTIONS.values()
        right = sum(word in said.text for word, said in zip(words, known, strict=True))
        if right < _RIGHT_AT_LEAST:
            raise StackError(f"it answers nonsense: {[said.text[:40] for said in known]}")
        conversations = BurstWorkload(4, _TEXT_ROUND).conversations()
        return [a.text for a in self._server.ask(conversations, _TEXT_TOKENS)[1]]

    def rss_bytes(self) -> int:
        """See `Burst`."""
        return self._server.rss_bytes()

    def hold(self) -> None:
        """See `Burst`."""
        self._server.hold()

    def resume(self) -> None:
        """See `Burst`."""
        self._server.resume()


@contextmanager
def raw_pipeline(bundle: Bundle) -> Iterator[RawPipeline]:
    """Run the raw pipeline until the block ends."""
    side = RawPipeline(bundle)
    try:
        yield side
    finally:
        side.close()


@contextmanager
def served(peer: Peer, place: Place, report: Callable[[str], None]) -> Iterator[ServedSide]:
    """Run a peer's server until the block ends, after a check of its answers.

    The first time it is started twice, so that compilation and caches are complete, as they are for
    the engine bundle.

    Raises:
        StackError: if it does not start, or its answers are wrong.
    """
    launch, dialect = peer.launch(place), peer.dialect(place)
    log = place.home / "server.log"
    once = place.home / _STARTED
    wanted = repr(launch.argv[:1])
    if not once.is_file() or once.read_text(encoding="utf-8") != wanted:
        report(f"starting {peer.name} for the first time")
        PeerServer(peer.name, launch, dialect, place.port, log).close()
        once.write_text(wanted, encoding="utf-8")
    report(f"starting {peer.name}")
    server = PeerServer(peer.name, launch, dialect, place.port, log)
    try:
        version = f"{peer.package} {installed_version(place.python, peer.package)}"
        about = Description(
            peer.name, peer.title, peer.kind, version, server.start_s, shown(launch.argv, place)
        )
        yield ServedSide(about, server)
    except ServingError as error:
        raise StackError(f"{peer.name} fails: {error}") from error
    finally:
        server.close()


def shown(argv: tuple[str, ...], place: Place) -> tuple[str, ...]:
    """A command with placeholders for the paths of this machine."""
    known = {
        place.checkpoint.huggingface: "CHECKPOINT",
        place.checkpoint.gguf: "CHECKPOINT.gguf",
        place.checkpoint.bundle: "BUNDLE",
        place.home: "HOME",
    }
    words = {str(path): name for path, name in known.items()} | {str(place.port): "PORT"}
    return tuple(
        words.get(word, Path(word).name if word.startswith("/") else word) for word in argv
    )
