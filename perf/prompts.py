"""Generates prompts of exact lengths from words; the same seed gives the same prompts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from enginehouse.perf.profile import Profile, RequestKind

from enginehouse.bundle import Bundle
from enginehouse.text import ChatTemplate, Tokenizer

_TEXT = (
    "river bridge clock bread map lighthouse paper glass salt train garden bee volcano ship music "
    "winter tea desert telescope market wool rain mountain printing horse ice star olive canal "
    "chess wind coin letter window stone road teacher city island field machine silver forest "
    "history because while under between many people make old new long the of and in to it was "
    "that with for they from had there which their what about would could other after first"
)
_WORDS = tuple(_TEXT.split())
#: Tokens reserved for the chat template around a user's text.
_TEMPLATE_ROOM = 64


@dataclass(frozen=True, slots=True)
class LoadPrompt:
    """One request's content, in the form of each entry point.

    Attributes:
        kind: name of the kind of request in the profile.
        user: text of the user's message, for the adapter.
        rendered: the same after the chat template, for the ensemble.
        input_ids: the same as token ids, for `.tensorrt_llm`.
        max_tokens: tokens of the answer; the end token is ignored, so that it has exactly as many.
    """

    kind: str
    user: str
    rendered: str
    input_ids: tuple[int, ...]
    max_tokens: int


class PromptMaker:
    """Generates a profile's prompts with the tokenizer and chat template of a version."""

    def __init__(self, bundle: Bundle) -> None:
        self._tokenizer = Tokenizer.from_file(bundle.tokenizer_path)
        self._template = ChatTemplate(bundle.chat_template, self._tokenizer)
        self._context = bundle.manifest.context_length

    def prompts(self, profile: Profile, count: int, *, place: str) -> list[LoadPrompt]:
        """Generate `count` prompts; their kinds and lengths depend on the profile's seed only.

        `place` is a second seed for the words: another value gives prompts that are in no prefix
        cache. Lengths are limited to the model's context.
        """
        lengths, words = _chance(profile.seed), _chance(profile.seed, place)
        kinds = lengths.choices(profile.mix, [kind.weight for kind in profile.mix], k=count)
        return [self._prompt(kind, lengths, words, f"{profile.seed} {place}") for kind in kinds]

    def _prompt(
        self, kind: RequestKind, lengths: random.Random, words: random.Random, place: str
    ) -> LoadPrompt:
        new = min(kind.output.draw(lengths), self._context // 2)
        room = max(1, self._context - new - _TEMPLATE_ROOM)
        text = self._text(min(kind.input.draw(lengths), room), words)
        if kind.shared_prefix:
            group = lengths.randrange(kind.groups)
            size = max(1, min(kind.shared_prefix, room - kind.input.mean))
            text = f"{self._text(size, _chance(place, kind.name, group))} {text}"
        messages = [{"role": "user", "content": text}]
        ids = tuple(self._template.encode(messages))
        rendered = self._tokenizer.decode(ids, skip_special_tokens=False)
        return LoadPrompt(kind.name, text, rendered, ids, new)

    def _text(self, tokens: int, chance: random.Random) -> str:
        words = " ".join(chance.choices(_WORDS, k=tokens))
        return self._tokenizer.decode(self._tokenizer.encode(words)[:tokens])


def _chance(*seed: object) -> random.Random:
    return random.Random(" ".join(map(str, seed)))  # noqa: S311 - prompts, not secrets


def prompt_tokens(prompts: Sequence[LoadPrompt]) -> int:
    """Total tokens of all prompts, including the chat template."""
    return sum(len(prompt.input_ids) for prompt in prompts)
