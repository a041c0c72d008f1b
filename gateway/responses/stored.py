"""Items in the form in which they are stored and returned: with an id, and text in parts."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from enginehouse.gateway.responses.items import (
    Content,
    FunctionCallItem,
    FunctionOutputItem,
    Item,
    ItemReference,
    MessageItem,
    OutputText,
    ReasoningItem,
    RefusalText,
)

#: An item as it is stored and returned: JSON with an id.
StoredItem = dict[str, Any]
_PREFIXES = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "reasoning": "rs",
}


def new_id(kind: str) -> str:
    """A new id for an item of this type."""
    return f"{_PREFIXES[kind]}_{uuid.uuid4().hex}"


def references(given: str | Sequence[Item]) -> dict[str, str]:
    """Ids of stored items that a request refers to → the field of the first reference."""
    found: dict[str, str] = {}
    for place, item in enumerate([] if isinstance(given, str) else given):
        if isinstance(item, ItemReference):
            found.setdefault(item.id, f"input[{place}].id")
    return found


def stored_items(
    given: str | Sequence[Item], referred: Mapping[str, StoredItem] = MappingProxyType({})
) -> list[StoredItem]:
    """The request's own items in stored form, each with an id and its text in parts.

    Args:
        referred: stored items that it refers to, by id.
    """
    if isinstance(given, str):
        return [_message(MessageItem(role="user", content=given))]
    return [_stored(item, referred) for item in given]


def _stored(item: Item, referred: Mapping[str, StoredItem]) -> StoredItem:
    rest: dict[str, Any]
    match item:
        case ItemReference():
            return referred[item.id]
        case MessageItem():
            return _message(item)
        case FunctionCallItem():
            rest = {"call_id": item.call_id, "name": item.name, "arguments": item.arguments}
        case FunctionOutputItem():
            rest = {"call_id": item.call_id, "output": text_of(item.output)}
        case ReasoningItem():
            rest = {
                "summary": [part.model_dump() for part in item.summary or []],
                "content": [part.model_dump() for part in item.content or []],
            }
    return _item(item, **rest)


def _message(item: MessageItem) -> StoredItem:
    texts: list[dict[str, Any]]
    if item.role != "assistant":
        # Model output that a user quotes is stored as the user's text.
        parts: list[Content] = (
            [item.content] if isinstance(item.content, str) else [[part] for part in item.content]
        )
        texts = [{"type": "input_text", "text": text_of(part)} for part in parts]
    elif isinstance(item.content, str):
        texts = [output_text(item.content)]
    else:
        texts = [
            {"type": "refusal", "refusal": part.refusal}
            if isinstance(part, RefusalText)
            else output_text(part.text, part.logprobs if isinstance(part, OutputText) else None)
            for part in item.content
        ]
    phase = {} if item.phase is None else {"phase": item.phase}
    return _item(item, role=item.role, content=texts, **phase)


def _item(
    item: MessageItem | FunctionCallItem | FunctionOutputItem | ReasoningItem, **rest: Any
) -> StoredItem:
    kind = item.type or "message"
    return {"id": item.id or new_id(kind), "type": kind, "status": item.state, **rest}


def output_text(text: str, logprobs: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """A text part of model output."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs or []}


def text_of(content: Content) -> str:
    """The joined text of a content."""
    if isinstance(content, str):
        return content
    return "".join(part.refusal if isinstance(part, RefusalText) else part.text for part in content)
