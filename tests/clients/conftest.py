"""One stack for all clients: a text generator and an embedding model, and no way to the outside."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import openai
import pytest

from tests.conftest import RunningStack

# Before any of the libraries is imported: they would fetch price tables and report usage.
os.environ |= {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "LANGSMITH_TRACING": "false",
    "LANGCHAIN_TRACING_V2": "false",
    "ANONYMIZED_TELEMETRY": "False",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "SCHEMATHESIS_TELEMETRY": "false",
}


class Fence:
    """Refuses connections that leave the loopback; a hook of the interpreter cannot be removed."""

    def __init__(self) -> None:
        self.up = False
        self.crossed: list[str] = []
        sys.addaudithook(self._see)

    def _see(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.up or event not in {"socket.connect", "socket.getaddrinfo"}:
            return
        address = arguments[1] if event == "socket.connect" else arguments[:1]
        host = address[0] if isinstance(address, tuple) else None
        if isinstance(host, bytes):
            host = host.decode("ascii")
        if isinstance(host, str) and not _local(host):
            self.crossed.append(host)
            raise ConnectionRefusedError(f"a client wants to reach {host}")


def _local(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host in {"", "localhost"}


@pytest.fixture(scope="session")
def fence() -> Fence:
    return Fence()


@pytest.fixture(autouse=True)
def nothing_leaves_the_loopback(fence: Fence) -> Iterator[None]:
    fence.up, fence.crossed = True, []
    yield
    fence.up = False
    assert fence.crossed == []


@pytest.fixture(scope="session")
def served(both: RunningStack) -> RunningStack:
    """smollm2 and minilm behind one adapter."""
    return both


@pytest.fixture(scope="session")
def base_url(served: RunningStack) -> str:
    return f"{served.url}/v1"


@pytest.fixture(scope="session")
def client(base_url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=base_url, api_key="unused", max_retries=0) as sdk:
        yield sdk
