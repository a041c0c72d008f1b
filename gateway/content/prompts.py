"""Input filters for conversations, prompts and embedding inputs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from enginehouse.api.call import Call
from enginehouse.gateway.content.filters import Filter, JudgeFilter, SpanFilter
from enginehouse.gateway.content.placeholders import PlaceholderNumbers
from enginehouse.gateway.content.scanner import Segment, scan
from enginehouse.gateway.content.verdicts import Action, ContentSide, VerdictRecorder

from enginehouse.errors import ContentBlockedError, InvalidRequestError

_EMBEDDINGS = "embeddings"


@dataclass(slots=True)
class PromptText:
    """A text of the call and its location.

    Attributes:
        place: index of its message or of its text in the list.
        part: index in a content that is a list; None for a content that is a string.
    """

    role: str
    text: str
    place: int
    in_message: bool = True
    part: int | None = None
    changed: bool = False


@dataclass(frozen=True, slots=True)
class PromptFilters:
    """Runs the input filters of one call.

    Attributes:
        hold_back: the same value as for answers, so that a rule finds the same matches in both.
    """

    filters: Sequence[Filter]
    verdicts: VerdictRecorder
    numbers: PlaceholderNumbers
    hold_back: int

    async def admit(self, call: Call, *, refuse_ids: bool) -> None:
        """Filter the call's texts and rewrite the redacted ones.

        Raises:
            ContentBlockedError: naming the rule that blocks it.
            InvalidRequestError: if a prompt consists of token ids and these are to be rejected.
        """
        acting = any(item.action is not Action.FLAG for item in self.filters)
        if acting and refuse_ids and any(not isinstance(t, str) for t in call.texts):
            raise InvalidRequestError(
                f"{_field(call)} holds token ids, and a content rule has to read it: send text",
                field=_field(call),
            )
        slots = slots_of(call)
        for item in self.filters:
            read = [slot for slot in slots if slot.role in item.config.roles and slot.text]
            if isinstance(item, SpanFilter):
                for slot in read:
                    self._spans(item, slot, call)
            elif isinstance(item, JudgeFilter) and read:
                await self._judge(item, read, call)
        if any(slot.changed for slot in slots):
            _write_back(call, slots)

    def _spans(self, item: SpanFilter, slot: PromptText, call: Call) -> None:
        segments = scan(item.rules, slot.text, self.hold_back)
        for segment in segments:
            if segment.rule is None:
                continue
            label = item.label(segment.rule)
            self.verdicts.found(ContentSide.INPUT, label, item.action)
            if item.action is Action.BLOCK:
                raise _blocked(label, call)
        if item.action is Action.REDACT and any(s.rule is not None for s in segments):
            slot.text = "".join(self._written(item, segment) for segment in segments)
            slot.changed = True

    def _written(self, item: SpanFilter, segment: Segment) -> str:
        if segment.rule is None:
            return segment.text
        return item.replace(segment.rule.label, segment.text, self.numbers)

    async def _judge(self, item: JudgeFilter, read: Sequence[PromptText], call: Call) -> None:
        asked = [item.judge.judge(slot.text, ContentSide.INPUT) for slot in read]
        for verdict in await asyncio.gather(*asked):
            self.verdicts.judged(ContentSide.INPUT, item.name, item.action, verdict)
            if verdict.flagged and item.action is Action.BLOCK:
                raise _blocked(item.name, call)


def slots_of(call: Call) -> list[PromptText]:
    """Every text of a call that a filter may read."""
    slots: list[PromptText] = []
    for place, message in enumerate(call.messages):
        role, content = str(message.get("role", "")), message.get("content")
        if isinstance(content, str):
            slots.append(PromptText(role, content, place))
        elif isinstance(content, list):
            slots += [
                PromptText(role, text, place, part=at)
                for at, part in enumerate(content)
                if isinstance(part, dict) and isinstance(text := part.get("text"), str)
            ]
    slots += [
        PromptText("user", text, place, in_message=False)
        for place, text in enumerate(call.texts)
        if isinstance(text, str)
    ]
    return slots


def _write_back(call: Call, slots: Sequence[PromptText]) -> None:
    """Replace the lists of the call by new ones, since the old ones may be shared with the body."""
    messages, texts = [dict(message) for message in call.messages], list(call.texts)
    for slot in slots:
        if not slot.changed:
            continue
        if not slot.in_message:
            texts[slot.place] = slot.text
        elif slot.part is None:
            messages[slot.place]["content"] = slot.text
        else:
            parts: list[Any] = list(messages[slot.place]["content"])
            parts[slot.part] = {**parts[slot.part], "text": slot.text}
            messages[slot.place]["content"] = parts
    call.messages, call.texts = messages, texts


def _field(call: Call) -> str:
    if call.messages:
        return "messages"
    return "input" if call.ask.endpoint == _EMBEDDINGS else "prompt"


def _blocked(rule: str, call: Call) -> ContentBlockedError:
    return ContentBlockedError(
        f"{_field(call)}: the content rule {rule!r} of this endpoint rejects this text: change it, "
        "or ask the operator of the endpoint about the rule",
        field=_field(call),
    )
