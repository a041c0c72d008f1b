"""The list of peers. A new one is a file, a requirements file and a line here."""

from __future__ import annotations

from enginehouse.perf.peers.handwritten import Handwritten
from enginehouse.perf.peers.llama_server import LlamaServer
from enginehouse.perf.peers.ours import Ours
from enginehouse.perf.peers.peer import Peer
from enginehouse.perf.peers.transformers_serve import TransformersServe
from enginehouse.perf.peers.vllm_serve import Vllm

from enginehouse.errors import SettingsError

OURS: Peer = Ours()
PEERS: tuple[Peer, ...] = (Vllm(), LlamaServer(), TransformersServe(), Handwritten())


def chosen(names: str | None) -> tuple[Peer, ...]:
    """The peers of comma-separated names; None means all of them.

    Raises:
        SettingsError: if a name is unknown; lists the known ones.
    """
    if names is None:
        return PEERS
    known = {peer.name: peer for peer in PEERS}
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in known:
            raise SettingsError(f"--only {name}: no such peer; there are {', '.join(known)}")
    return tuple(known[name] for name in dict.fromkeys(wanted))
