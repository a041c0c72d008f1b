"""An OpenTelemetry collector of the tests' own: keeps the spans that are posted to it."""

from __future__ import annotations

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """OTLP over HTTP on a free port of the loopback, until the block ends."""

    def __init__(self) -> None:
        self._spans: list[tuple[str, Span]] = []
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def spans(self) -> list[Span]:
        with self._changed:
            return [span for _, span in self._spans]

    def services(self) -> set[str]:
        with self._changed:
            return {service for service, _ in self._spans}

    def wait_for(self, *names: str, timeout_s: float = 30.0) -> dict[str, Span]:
        """The spans with these names, once all are there; the timeout only ends a hang."""
        with self._changed:
            there = self._changed.wait_for(lambda: set(names) <= set(self._by_name()), timeout_s)
            assert there, f"{names} did not come; there are {sorted(self._by_name())}"
            return self._by_name()

    def _by_name(self) -> dict[str, Span]:
        return {span.name: span for _, span in self._spans}

    def _take(self, request: ExportTraceServiceRequest) -> None:
        with self._changed:
            for resource in request.resource_spans:
                service = attributes_of(resource.resource)["service.name"]
                for scope in resource.scope_spans:
                    self._spans += [(str(service), span) for span in scope.spans]
            self._changed.notify_all()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        take = self._take

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                known = self.path == "/v1/traces"
                if known:
                    take(ExportTraceServiceRequest.FromString(body))
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200 if known else 404)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None: ...

        return Handler


def attributes_of(holder: Any) -> dict[str, Any]:
    """Attributes of a span, a resource or an event as plain values."""
    return {item.key: _plain(item.value) for item in holder.attributes}


def _plain(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(item) for item in value.array_value.values]
    return getattr(value, kind)
