"""Loads that will never end: Triton waits for ever for a stub that died as it connected.

Seen on 2.51: a stub killed within some 20 ms of its start leaves its version in LOADING, the
load call open, and nothing but a new server process helps. A stub that dies later is noticed by
Triton itself.
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
    """What a Triton holds; None if it does not answer."""
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
    """Remembers since when a part has been loading without a process.

    Attributes:
        model_repository: where a part's ``<version>/model.py`` tells that it needs a process;
            an ensemble has none.
    """

    model_repository: Path
    patience_s: float = _PATIENCE_S
    _since: dict[tuple[str, str], float] = field(default_factory=dict)

    def look(self, replica: str, index: Index, alive: Iterable[str], now: float) -> list[str]:
        """Parts, as ``<triton model>/<version>``, that hang in this replica.

        Args:
            replica: its name.
            index: what its Triton says.
            alive: parts whose stub lives (`triton_server.stub_pids`).
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
        """Its Triton was started again."""
        for key in [k for k in self._since if k[0] == replica]:
            del self._since[key]


def serves_alone(replica: str, indexes: Mapping[str, Index]) -> bool:
    """Whether an engine is ready in this replica and in no other: ending it would lose requests."""
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
