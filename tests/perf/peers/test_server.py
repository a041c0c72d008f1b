from __future__ import annotations

import socket
import sys
import time
from pathlib import Path

import psutil
import pytest
from enginehouse.perf.peers.peer import Dialect, Launch
from enginehouse.perf.peers.server import PeerServer, clean_environment

from enginehouse.errors import ServingError, StackError
from tests.conftest import wait_until

_SERVER = """
import http.server, json, sys, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.begin()
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        tokens = min(body["max_tokens"], 4)
        self.begin()
        for _ in range(tokens):
            self.event({"choices": [{"delta": {"content": "x"}}]})
        self.event({"choices": [], "usage": {"completion_tokens": tokens}})
    def begin(self):
        self.send_response(200); self.send_header("Connection", "close"); self.end_headers()
    def event(self, data):
        self.wfile.write(b"data: " + json.dumps(data).encode() + b"\\n\\n")
    def log_message(self, *_): pass
Handler.protocol_version = "HTTP/1.1"
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def _launch(port: int) -> Launch:
    return Launch((sys.executable, "-c", _SERVER, str(port)), "/health")


def _port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def server(tmp_path: Path):
    port = _port()
    running = PeerServer("fake", _launch(port), Dialect("m"), port, tmp_path / "server.log")
    yield running
    running.close()


def test_a_server_is_asked_held_and_ended(server: PeerServer) -> None:
    assert 0 < server.start_s < 60
    _, [answer] = server.ask([[{"role": "user", "content": "Hello"}]], 3)
    assert (answer.text, answer.trace.tokens) == ("xxx", 3)
    assert server.rss_bytes() > 2**20
    server.hold()
    [process] = server._family()
    wait_until(lambda: process.status() == psutil.STATUS_STOPPED, "the server to stand still", 10)
    server.resume()
    server.ask([[{"role": "user", "content": "Hello"}]], 3)
    server.close()
    assert not process.is_running()


def test_a_held_server_can_be_ended(server: PeerServer) -> None:
    server.hold()
    began = time.monotonic()
    server.close()
    assert time.monotonic() - began < 10


def test_another_number_of_tokens_than_was_asked_for_is_an_error(server: PeerServer) -> None:
    with pytest.raises(ServingError, match="4 tokens, not 5"):
        server.ask([[{"role": "user", "content": "Hello"}]], 5)


def test_a_server_that_ends_is_an_error_with_its_last_line(tmp_path: Path) -> None:
    launch = Launch((sys.executable, "-c", "raise SystemExit('no such model')"), "/health")
    with pytest.raises(StackError, match="no such model"):
        PeerServer("fake", launch, Dialect("m"), _port(), tmp_path / "server.log")


def test_no_setting_of_ours_reaches_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINEHOUSE_ENGINE_COALESCING", "false")
    monkeypatch.setenv("KEPT", "yes")
    env = clean_environment()
    assert env["KEPT"] == "yes"
    assert not any(name.startswith("ENGINEHOUSE_") for name in env)
