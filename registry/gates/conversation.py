"""Chat with one version on one replica, using that version's own tokenizer and template."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from enginehouse.client import Deadlines, RetryPolicy, Target, TritonClient

from enginehouse.bundle import Bundle
from enginehouse.generation import FinishReason, GenerationRequest, Sampling
from enginehouse.text import ChatTemplate, Tokenizer

_DEADLINES = Deadlines(total_s=120.0, first_token_s=60.0, between_tokens_s=30.0)


@dataclass(frozen=True, slots=True)
class TimedAnswer:
    """Text, tokens and timing of one answer.

    Attributes:
        ttft_s, total_s: seconds from the request to the first and to the last token.
    """

    text: str
    token_ids: tuple[int, ...]
    finish: FinishReason | None
    ttft_s: float
    total_s: float


class Speaker:
    """Sends chat requests to one version on one replica."""

    def __init__(self, address: str, model: str, version: int, bundle: Bundle) -> None:
        """`address` is ``host:port`` of the replica's gRPC port."""
        self._client = TritonClient(address, deadlines=_DEADLINES, retry=RetryPolicy(attempts=1))
        self._target = Target(model, version)
        self._special = bundle.manifest.special_tokens
        self.tokenizer = Tokenizer.from_file(bundle.tokenizer_path)
        bos = self._special.bos_id
        self._template = ChatTemplate(
            bundle.chat_template,
            self.tokenizer,
            bos_token="" if bos is None else self.tokenizer.token_text(bos),
            eos_token=self.tokenizer.token_text(self._special.end_ids[0]),
        )

    def close(self) -> None:
        """Close the channel."""
        self._client.close()

    def ask(
        self, messages: Sequence[dict[str, str]], max_tokens: int, *, to_the_end: bool = False
    ) -> TimedAnswer:
        """Generate one greedy answer; `to_the_end` ignores end tokens and generates `max_tokens`.

        Raises:
            ServingError: one of its subclasses.
        """
        request = GenerationRequest(
            input_ids=self._template.encode(messages),
            max_tokens=max_tokens,
            sampling=Sampling(),
            end_ids=frozenset() if to_the_end else frozenset(self._special.end_ids),
        )
        began = time.perf_counter()
        first = 0.0
        ids: list[int] = []
        finish = None
        for chunk in self._client.generate(self._target, request):
            if chunk.token_ids and not first:
                first = time.perf_counter() - began
            ids += chunk.token_ids
            finish = chunk.finish or finish
        total = time.perf_counter() - began
        return TimedAnswer(self.tokenizer.decode(ids), tuple(ids), finish, first or total, total)
