"""Detects loads that never end: Triton waits for ever for a stub that died while connecting.

Seen on Triton 2.51: a stub that is killed within about 20 ms of its start leaves its version in
LOADING and the load call open; only a new server process helps. Triton notices a stub that dies
later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from enginehouse.names import TENSORRT_LLM
from enginehouse.tls import tls_context
from enginehouse.triton_control import http_headers

_PATIENCE_S = 10.0

#: Rows of a repository index: Triton model, version, state.
Index = Iterable[tuple[str, str, str]]


def repository_index(
    triton_http_url: str, control_secret: str
) -> list[tuple[str, str, str]] | None:
    """A Triton's model index; None if it does not answer."""
    try:
        answer = httpx.post(
            f"{triton_http_url}/v2/repository/index",
            headers=http_headers(control_secret),
            timeout=2.0,
            trust_env=False,
            verify=tls_context(triton_http_url),
        )
    except httpx.HTTPError:
        return None
    if not answer.is_success:
        return None
    return [(m["name"], m.get("version", ""), m.get("state", "")) for m in answer.json()]


@dataclass
class StuckLoads:
    """Tracks for how long a part has been loading without a process.

    Attributes:
        model_repository: directory in which a part with a ``<version>/model.py`` needs a process;
            an ensemble has none.
    """

    model_repository: Path
    patience_s: float = _PATIENCE_S
    _since: dict[tuple[str, str], float] = field(default_factory=dict)

    def look(self, replica: str, index: Index, alive: Iterable[str], now: float) -> list[str]:
        """Parts of this replica whose load hangs, as ``<triton model>/<version>``.

        Args:
            replica: name of the replica.
            index: model index of its Triton.
            alive: parts whose stub is alive (`triton_server.stub_pids`).
            now: monotonic seconds.
        """
        waiting = {
            f"{name}/{version}"
            for name, version, state in index
            if state == "LOADING" and (self.model_repository / name / version / "model.py").exists()
        } - set(alive)
        for key in [k for k in self._since if k[0] == replica and k[1] not in waiting]:
            del self._since[key]
        began = {part: self._since.setdefault((replica, part), now) for part in waiting}
        return sorted(part for part, since in began.items() if now - since >= self.patience_s)

    def forget(self, replica: str) -> None:
        """Forget a replica whose Triton was restarted."""
        for key in [k for k in self._since if k[0] == replica]:
            del self._since[key]


def serves_alone(replica: str, indexes: Mapping[str, Index]) -> bool:
    """Whether an engine is ready only in this replica: restarting it would fail requests."""
    engines = {name: _engines(index) for name, index in indexes.items()}
    others: set[tuple[str, str]] = set()
    for name, found in engines.items():
        if name != replica:
            others |= found
    return not engines.get(replica, set()) <= others


def _engines(index: Index) -> set[tuple[str, str]]:
    return {
        (name, version)
        for name, version, state in index
        if state == "READY" and name.endswith(f".{TENSORRT_LLM}")
    }
