"""A stand-in for the adapter: an HTTP endpoint that answers by rule."""

from __future__ import annotations

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Rule = Callable[[str, str], str]


class StandIn(ThreadingHTTPServer):
    """Answers `rule(version, question)`; a rule that raises LookupError is HTTP 500.

    Attributes:
        embedder: name of the embedding model that is served, or None.
        refuse_above: characters of a text above which embeddings are refused.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.rule: Rule = lambda version, question: f"{version}: {question}"
        self.embedder: str | None = None
        self.refuse_above = 10_000
        self.asked: list[dict[str, Any]] = []


class _Handler(BaseHTTPRequestHandler):
    server: StandIn

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        name = self.server.embedder
        data = [{"id": "smollm2", "enginehouse": {"kind": "generator"}}]
        data += [{"id": name, "enginehouse": {"kind": "embedding"}}] if name else []
        self._send(200, {"data": data})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append(body)
        if self.path == "/v1/embeddings":
            self._embed(body["input"])
            return
        _, _, version = body["model"].partition("@")
        if version not in {"7", "8"}:
            self._send(404, {"error": {"message": f"no version {version!r} loaded"}})
            return
        try:
            text = self.server.rule(version, body["messages"][-1]["content"])
        except LookupError:
            self._send(500, {"error": {"message": "the engine is gone"}})
            return
        choice = {"message": {"content": text}, "finish_reason": "stop"}
        usage = {"completion_tokens": len(text.split())}
        answer = {"id": "chatcmpl-1", "choices": [choice], "usage": usage}
        self._send(200, answer, version)

    def _embed(self, texts: list[str]) -> None:
        if any(len(text) > self.server.refuse_above for text in texts):
            self._send(400, {"error": {"message": "too long"}})
            return
        # The first character decides the direction: enough to tell subjects apart.
        data = [
            {"index": i, "embedding": [float(ord(text[0])), float(len(text)), 1.0]}
            for i, text in enumerate(texts)
        ]
        self._send(200, {"data": data})

    def _send(self, status: int, body: dict[str, Any], version: str = "") -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(raw)))
        self.send_header("x-enginehouse-version", version)
        self.end_headers()
        self.wfile.write(raw)
