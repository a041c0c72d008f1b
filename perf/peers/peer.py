"""The interface of a peer: how it is installed, started, and requested."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol


class SideRole(StrEnum):
    """The role of a side in the table."""

    LIMIT = "limit"
    OURS = "ours"
    PEER = "peer"
    BASELINE = "baseline"


@dataclass(frozen=True, slots=True)
class PeerCheckpoint:
    """One model with the same weights in each format that peers read.

    Attributes:
        bundle: the engine bundle; all sides use its tokenizer and chat template.
        gguf: F16 file for llama.cpp.
        huggingface: directory with F16 safetensors for vLLM and transformers.
    """

    bundle: Path
    gguf: Path
    huggingface: Path


@dataclass(frozen=True, slots=True)
class Place:
    """The location of one peer's server.

    Attributes:
        python: interpreter of the peer's environment.
        home: private directory for caches and logs.
        port: a free port of the loopback interface.
    """

    python: Path
    home: Path
    port: int
    checkpoint: PeerCheckpoint

    @property
    def scripts(self) -> Path:
        """Directory of the commands of the peer's environment."""
        return self.python.parent

    @property
    def cores(self) -> int:
        """Number of CPUs that the server may use."""
        return len(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True)
class Launch:
    """The command of one server process.

    Attributes:
        ready_path: path that answers 200 when the server is ready.
        env: variables to add to this process's environment without ``ENGINEHOUSE_`` variables.
    """

    argv: tuple[str, ...]
    ready_path: str
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How to request an exact number of greedy tokens from a server's OpenAI endpoint.

    Attributes:
        model: model name for its requests.
        extra: fields that make it ignore the end token.
    """

    model: str
    extra: Mapping[str, Any] = field(default_factory=dict)

    def body(self, messages: list[dict[str, str]], new_tokens: int) -> dict[str, Any]:
        """A streaming chat request; only `model` and `extra` differ between servers."""
        return {
            "model": self.model,
            "messages": messages,
            "max_tokens": new_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
            **self.extra,
        }


class Peer(Protocol):
    """A server to compare with. Each is one file; `enginehouse.perf.peers.roster` lists them."""

    @property
    def name(self) -> str:
        """Short name, for ``--only``, its directory and its requirements file."""

    @property
    def title(self) -> str:
        """Its name in the table."""

    @property
    def kind(self) -> SideRole:
        """Its role in the table."""

    @property
    def package(self) -> str:
        """The Python package whose version the table shows."""

    @property
    def own_environment(self) -> bool:
        """Whether it has an environment of its own, from ``requirements-<name>.txt``."""

    @property
    def install_env(self) -> Mapping[str, str]:
        """Environment variables for the installation."""

    @property
    def unwanted(self) -> tuple[str, ...]:
        """Dependencies to uninstall after the installation."""

    def launch(self, place: Place) -> Launch:
        """The command of the server, with its best settings."""

    def dialect(self, place: Place) -> Dialect:
        """How to request it."""
