"""What a peer is: how it is installed, how its server is started, and how it is asked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol


class SideRole(StrEnum):
    """What a side stands for in the table."""

    LIMIT = "limit"
    OURS = "ours"
    PEER = "peer"
    BASELINE = "baseline"


@dataclass(frozen=True, slots=True)
class PeerCheckpoint:
    """One model in the forms that peers read; the same numbers in each.

    Attributes:
        bundle: our engine bundle; its tokenizer and chat template are everybody's.
        gguf: F16, for llama.cpp.
        huggingface: directory with F16 safetensors, for vLLM and transformers.
    """

    bundle: Path
    gguf: Path
    huggingface: Path


@dataclass(frozen=True, slots=True)
class Place:
    """Where one peer's server runs.

    Attributes:
        python: interpreter of the peer's own environment.
        home: directory of its own, for caches and logs.
        port: a free port of the loopback.
    """

    python: Path
    home: Path
    port: int
    checkpoint: PeerCheckpoint

    @property
    def scripts(self) -> Path:
        """Commands of the peer's environment."""
        return self.python.parent

    @property
    def cores(self) -> int:
        """CPUs that the server may use."""
        return len(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True)
class Launch:
    """One server process.

    Attributes:
        env: added to our environment, from which all ``ENGINEHOUSE_`` variables are taken.
        ready_path: answers 200 when requests may come.
    """

    argv: tuple[str, ...]
    ready_path: str
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a server's OpenAI endpoint is asked for exactly so many greedy tokens.

    Attributes:
        model: the name that its requests carry.
        extra: fields with which it does not stop at the end token.
    """

    model: str
    extra: Mapping[str, Any] = field(default_factory=dict)

    def body(self, messages: list[dict[str, str]], new_tokens: int) -> dict[str, Any]:
        """A streaming chat request; the same for everybody but for `extra`."""
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
    """A server to compare with. One file each; `enginehouse.perf.peers.roster` lists them."""

    @property
    def name(self) -> str:
        """Short name: of ``--only``, of its directory and its requirements file."""

    @property
    def title(self) -> str:
        """Its name in the table."""

    @property
    def kind(self) -> SideRole:
        """What it stands for."""

    @property
    def package(self) -> str:
        """The distribution whose version the table shows."""

    @property
    def own_environment(self) -> bool:
        """Whether it is installed apart, from ``requirements-<name>.txt``."""

    @property
    def install_env(self) -> Mapping[str, str]:
        """Environment variables of the installation."""

    @property
    def unwanted(self) -> tuple[str, ...]:
        """Packages that come along and have to go again."""

    def launch(self, place: Place) -> Launch:
        """The server's command, with its best settings."""

    def dialect(self, place: Place) -> Dialect:
        """How it is asked."""
