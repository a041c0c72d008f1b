"""Clients of the tensor contract over Triton's gRPC port, and of the chat endpoint."""

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
