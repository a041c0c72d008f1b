"""The fixed texts, prompts and tasks on which every engine is measured."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

#: Tokens of each greedy continuation, and of each task's answer.
GREEDY_TOKENS = 32
TASK_TOKENS = 6
#: Next-token distributions are compared at each n-th position of a text.
DISTRIBUTION_EVERY = 3


@dataclass(frozen=True, slots=True)
class Task:
    """A prompt whose greedy continuation must begin with `answer`, after leading spaces."""

    prompt: str
    answer: str

    def solved_by(self, continuation: str) -> bool:
        """Whether a continuation begins with the answer."""
        return continuation.strip().startswith(self.answer)


@dataclass(frozen=True, slots=True)
class ProofSet:
    """The inputs of a proof.

    Attributes:
        texts: public-domain prose; `proof_set.json` names the sources.
        digest: of the file and the constants above. References with another digest are not used.
    """

    texts: tuple[str, ...]
    prompts: tuple[str, ...]
    tasks: tuple[Task, ...]
    digest: str


@cache
def proof_set() -> ProofSet:
    """The proof set of this version."""
    raw = files("enginehouse.build").joinpath("proof_set.json").read_bytes()
    content = json.loads(raw)
    constants = f"{GREEDY_TOKENS},{TASK_TOKENS},{DISTRIBUTION_EVERY}".encode()
    return ProofSet(
        texts=tuple(entry["text"] for entry in content["texts"]),
        prompts=tuple(content["prompts"]),
        tasks=tuple(Task(entry["prompt"], entry["answer"]) for entry in content["tasks"]),
        digest=hashlib.sha256(raw + constants).hexdigest()[:16],
    )
