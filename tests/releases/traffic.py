"""Live traffic with every answer checked: what a release may never lose."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

_EVERY = 4


@dataclass
class Tally:
    """Counts of one run of traffic.

    Attributes:
        newest: when each request was sent (`time.monotonic`), and the version that answered it.
    """

    requests: int = 0
    failed: list[str] = field(default_factory=list)
    truncated: list[str] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)
    newest: list[tuple[float, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __str__(self) -> str:
        served = ", ".join(f"version {v}: {n}" for v, n in sorted(self.versions.items()))
        return (
            f"{self.requests} requests, {len(self.failed)} failed, {len(self.truncated)} "
            f"truncated ({served})"
        )

    def count(
        self, sent_at: float, version: str, problem: str | None, *, truncated: bool = False
    ) -> None:
        with self.lock:
            self.requests += 1
            self.versions[version] += 1
            self.newest.append((sent_at, version))
            if problem is not None:
                (self.truncated if truncated else self.failed).append(problem)

    @property
    def lost(self) -> list[str]:
        return self.failed + self.truncated


class Traffic:
    """An open loop: so many requests a second whatever the answers take."""

    def __init__(self, url: str, model: str, rate: float, tokens: int) -> None:
        self._url = f"{url}/v1/completions"
        self._body = {
            "model": model,
            "prompt": "1 2 3",
            "ignore_eos": True,
            "temperature": 0,
            "max_tokens": tokens,
        }
        self._rate = rate
        self._tokens = tokens
        self._stop = threading.Event()
        self.tally = Tally()
        self._client = httpx.Client(
            timeout=120.0, limits=httpx.Limits(max_connections=None), trust_env=False
        )

    def run(self) -> None:
        with ThreadPoolExecutor(128) as pool:
            number = 0
            while not self._stop.wait(1 / self._rate):
                number += 1
                pool.submit(self._stream if number % _EVERY else self._whole)
        self._client.close()

    def stop(self) -> None:
        self._stop.set()

    def _whole(self) -> None:
        sent_at = time.monotonic()
        try:
            answer = self._client.post(self._url, json=self._body)
            version = answer.headers.get("x-enginehouse-version", "?")
            problem = None if answer.is_success else f"{answer.status_code} {answer.text}"
            if problem is None:
                got = answer.json()["usage"]["completion_tokens"]
                problem = None if got == self._tokens else f"{got} of {self._tokens} tokens"
        except httpx.HTTPError as error:
            version, problem = "?", repr(error)
        self.tally.count(sent_at, version, problem)

    def _stream(self) -> None:
        body = self._body | {"stream": True, "stream_options": {"include_usage": True}}
        version, problem, began = "?", None, False
        sent_at = time.monotonic()
        try:
            with self._client.stream("POST", self._url, json=body) as answer:
                version = answer.headers.get("x-enginehouse-version", "?")
                lines = []
                for line in answer.iter_lines():
                    began = began or bool(line)
                    lines.append(line)
                if not answer.is_success:
                    problem = f"{answer.status_code} {' '.join(lines)}"
                    began = False
                else:
                    problem = self._wrong([line for line in lines if line])
        except httpx.HTTPError as error:
            problem = repr(error)
        self.tally.count(sent_at, version, problem, truncated=began)

    def _wrong(self, lines: list[str]) -> str | None:
        if not lines or lines[-1] != "data: [DONE]":
            return f"no [DONE]: {lines[-1:]}"
        got = json.loads(lines[-2].removeprefix("data: "))["usage"]["completion_tokens"]
        return None if got == self._tokens else f"{got} of {self._tokens} tokens"


@contextmanager
def traffic(url: str, model: str = "smollm2", *, rate: float, tokens: int) -> Iterator[Tally]:
    """Requests until the block ends; three of four are streams."""
    running = Traffic(url, model, rate, tokens)
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    try:
        yield running.tally
    finally:
        running.stop()
        thread.join()
