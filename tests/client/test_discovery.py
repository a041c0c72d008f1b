from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from enginehouse.client.discovery import LookupDiscovery, Replica, discovery_of, parse_fleet
from enginehouse.client.kubernetes import KubernetesApi

from enginehouse.errors import SettingsError
from enginehouse.settings import Settings


def _addresses(text: str) -> list[tuple[str, str | None]]:
    return [(replica.grpc, replica.metrics_url) for replica in parse_fleet(text).replicas()]


def test_without_a_fleet_the_local_replicas_are_it(tmp_path: Path) -> None:
    found = discovery_of(Settings(home=tmp_path, replicas=2)).replicas()
    assert found == (
        Replica("replica-0", "127.0.0.1:8001", "http://127.0.0.1:8002/metrics"),
        Replica("replica-1", "127.0.0.1:8011", "http://127.0.0.1:8012/metrics"),
    )


def test_a_list_with_and_without_metrics_ports() -> None:
    assert _addresses("127.0.0.1:8001, gpu-2:8011:9000,[::1]:8001") == [
        ("127.0.0.1:8001", "http://127.0.0.1:8002/metrics"),
        ("gpu-2:8011", "http://gpu-2:9000/metrics"),
        ("[::1]:8001", "http://[::1]:8002/metrics"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1", "a:b", "a:1,,b:2", "a:1,a:1", "a:70000", "a:1:0", "dns:triton", "dns::1",
        "kubernetes:triton:8001", "kubernetes:a/b", "a b:1",
    ],
)  # fmt: skip
def test_bad_text_is_refused_by_name_with_the_way_out(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match="ENGINEHOUSE_FLEET") as caught:
        discovery_of(Settings(home=tmp_path, fleet=text))
    assert repr(text) in str(caught.value)


def test_a_name_in_dns_is_resolved() -> None:
    try:
        socket.getaddrinfo("localhost", 8001)
    except OSError:
        pytest.skip("localhost does not resolve here")
    assert ("127.0.0.1:8001", "http://127.0.0.1:8002/metrics") in _addresses("dns:localhost:8001")


def test_a_failed_lookup_keeps_the_list_and_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    known = (Replica("a", "a:1"),)
    answers: list[Any] = [known, OSError("no DNS"), OSError("no DNS"), ()]

    def lookup() -> tuple[Replica, ...]:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return tuple(answer)

    discovery = LookupDiscovery("dns:x:1", lookup)
    with caplog.at_level(logging.WARNING):
        assert [discovery.replicas() for _ in range(4)] == [known, known, known, ()]
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "no DNS" in caplog.text


class _ApiServer(ThreadingHTTPServer):
    """Answers as the API server does: a list of slices, in pages."""

    def __init__(self, slices: list[dict[str, Any]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.slices = slices
        self.status = 200
        self.seen: list[tuple[str, dict[str, list[str]], str | None]] = []


class _Handler(BaseHTTPRequestHandler):
    server: _ApiServer

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        self.server.seen.append((url.path, query, self.headers.get("Authorization")))
        at = int(query.get("continue", ["0"])[0])
        more = {"continue": str(at + 1)} if at + 1 < len(self.server.slices) else {}
        body = json.dumps(
            {
                "kind": "EndpointSliceList",
                "metadata": more,
                "items": self.server.slices[at : at + 1],
            }
        ).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def _endpoint(name: str, address: str, *, ready: bool | None = True) -> dict[str, Any]:
    conditions = {} if ready is None else {"ready": ready}
    target = {"kind": "Pod", "name": name}
    return {"addresses": [address], "conditions": conditions, "targetRef": target}


@pytest.fixture
def server() -> Iterator[_ApiServer]:
    slices = [
        {
            "addressType": "IPv4",
            "endpoints": [
                _endpoint("triton-1", "10.0.0.2"),
                _endpoint("triton-0", "10.0.0.1", ready=None),
                _endpoint("triton-2", "10.0.0.3", ready=False),
            ],
        },
        {"addressType": "IPv6", "endpoints": [_endpoint("triton-1", "fd00::2"),
                                              _endpoint("triton-3", "fd00::4")]},
    ]  # fmt: skip
    with _ApiServer(slices) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_services_ready_endpoints_are_the_replicas(server: _ApiServer, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    api = KubernetesApi(f"http://127.0.0.1:{server.server_port}", tmp_path / "token", None)
    discovery = parse_fleet("kubernetes:serving/triton:8001", api)
    expected = [
        ("triton-0", "10.0.0.1:8001"), ("triton-1", "10.0.0.2:8001"),
        ("triton-3", "[fd00::4]:8001"),
    ]  # fmt: skip
    assert [(replica.name, replica.grpc) for replica in discovery.replicas()] == expected
    path, query, authorization = server.seen[0]
    assert path == "/apis/discovery.k8s.io/v1/namespaces/serving/endpointslices"
    assert query["labelSelector"] == ["kubernetes.io/service-name=triton"]
    assert authorization == "Bearer secret"
    server.status = 403
    assert [(replica.name, replica.grpc) for replica in discovery.replicas()] == expected


def test_outside_a_cluster_there_is_no_account_and_no_replica() -> None:
    assert parse_fleet("kubernetes:serving/triton:8001").replicas() == ()
