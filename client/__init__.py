"""Clients for Triton's gRPC port (tensor contract), for the HTTP endpoint and for the controller.

Names are imported on first use (PEP 562), so that a process which only uses HTTP does not load gRPC
and numpy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from enginehouse.client.aio import AsyncTritonClient
    from enginehouse.client.discovery import Discovery, Replica, discovery_of
    from enginehouse.client.embedding import Embeddings
    from enginehouse.client.fleet import AsyncFleetClient, ReplicaState
    from enginehouse.client.policy import Deadlines
    from enginehouse.client.sync import TritonClient
    from enginehouse.client.wire import Target

    from enginehouse.retry import RetryPolicy

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
    "RetryPolicy": ".retry",
    "Target": "wire",
    "TritonClient": "sync",
    "discovery_of": "discovery",
}


def __getattr__(name: str) -> Any:
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{place}", __name__), name)
