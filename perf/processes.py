"""CPU time and memory of the stack's processes, by role."""

from __future__ import annotations

from dataclasses import dataclass

import psutil
from enginehouse.stack.triton_server import stub_pids

from enginehouse.errors import StackError
from enginehouse.names import TENSORRT_LLM
from enginehouse.settings import Addresses


@dataclass(frozen=True, slots=True)
class StackProcesses:
    """Process ids by role: ``adapter``, ``triton``, ``engine``, ``text`` (pre and post)."""

    roles: dict[str, tuple[int, ...]]

    @classmethod
    def find(cls, addresses: Addresses) -> StackProcesses:
        """Find the processes by the ports that they listen on.

        Raises:
            StackError: if nothing listens on a port.
        """
        api = _listener(addresses.api_port)
        triton = _listener(addresses.triton_grpc_port)
        stubs = stub_pids(triton)
        engines = tuple(pid for name, pid in stubs.items() if f".{TENSORRT_LLM}/" in name)
        text = tuple(pid for pid in stubs.values() if pid not in engines)
        return cls({"adapter": (api,), "triton": (triton,), "engine": engines, "text": text})

    def cpu_seconds(self) -> dict[str, float]:
        """User and system CPU seconds since the start, by role."""
        return {role: sum(map(_cpu, pids)) for role, pids in self.roles.items()}

    def rss_bytes(self) -> dict[str, int]:
        """Current resident memory, by role."""
        return {
            role: sum(psutil.Process(pid).memory_info().rss for pid in pids)
            for role, pids in self.roles.items()
        }


def _cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _listener(port: int) -> int:
    for connection in psutil.net_connections("tcp"):
        listening = connection.status == psutil.CONN_LISTEN
        if listening and connection.laddr and connection.laddr.port == port and connection.pid:
            return int(connection.pid)
    raise StackError(f"nothing listens on port {port}: is the stack up?")
