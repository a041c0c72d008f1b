"""Clients of the tensor contract over Triton's gRPC port, and of the chat endpoint.

Names are imported when they are first used (PEP 562): a process that only speaks HTTP need not
pay for gRPC and numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from enginehouse.client.aio import AsyncTritonClient
    from enginehouse.client.discovery import Discovery, Replica, discovery_of
    from enginehouse.client.embedding import Embeddings
    from enginehouse.client.fleet import AsyncFleetClient, ReplicaState
    from enginehouse.client.policy import Deadlines, RetryPolicy
    from enginehouse.client.sync import TritonClient
    from enginehouse.client.wire import Target

__all__ = [
    "AsyncFleetClient",
    "AsyncTritonClient",
    "Deadlines",
    "Discovery",
    "Embeddings",
    "Replica",
    "ReplicaState",
    "RetryPolicy",
    "Target",
    "TritonClient",
    "discovery_of",
]

_PLACES = {
    "AsyncFleetClient": "fleet",
    "AsyncTritonClient": "aio",
    "Deadlines": "policy",
    "Discovery": "discovery",
    "Embeddings": "embedding",
    "Replica": "discovery",
    "ReplicaState": "fleet",
    "RetryPolicy": "policy",
    "Target": "wire",
    "TritonClient": "sync",
    "discovery_of": "discovery",
}


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{place}"), name)
