"""Converts conversations with tools for a version's chat template."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from enginehouse.api.json_depth import MOST_LEVELS

from enginehouse.json_depth import is_shallow
from enginehouse.text.tool_calls.base import ToolFormat

Message = dict[str, Any]


def for_template(messages: Sequence[Message], spoken: ToolFormat) -> list[Message]:
    """For a template with tool support: arguments become objects, results get their tool's name."""
    names = _names(messages)
    found = []
    for message in messages:
        if message.get("tool_calls"):
            calls = [_with_object(call, spoken) for call in message["tool_calls"]]
            found.append(message | {"tool_calls": calls})
        elif message["role"] == "tool":
            given = message["tool_call_id"]
            known = {"name": names[given]} if given in names else {}
            found.append(message | known | {"tool_call_id": spoken.call_id(given)})
        else:
            found.append(message)
    return found


def in_words(
    messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], spoken: ToolFormat
) -> list[Message]:
    """For a template without tool support: everything becomes text in the tool format.

    The tools are described at the end of the system message, or in one that is added. Calls become
    text of the assistant. Consecutive results become one user message.
    """
    names = _names(messages)
    found: list[Message] = []
    results_open = False
    for message in messages:
        is_result = message["role"] == "tool"
        if is_result:
            text = spoken.result(names.get(message["tool_call_id"]), message["content"])
            if results_open:
                found[-1]["content"] += f"\n{text}"
            else:
                found.append({"role": "user", "content": text})
        elif message.get("tool_calls"):
            found.append(_called_in_words(message, spoken))
        else:
            found.append(dict(message))
        results_open = is_result
    if tools:
        _instruct(found, spoken.instruction(tools))
    return found


def has_tools(messages: Sequence[Message]) -> bool:
    """Whether a conversation contains calls or results."""
    return any(m["role"] == "tool" or m.get("tool_calls") for m in messages)


def _instruct(messages: list[Message], instruction: str) -> None:
    if messages and messages[0]["role"] == "system":
        messages[0]["content"] = f"{messages[0]['content']}\n\n{instruction}"
    else:
        messages.insert(0, {"role": "system", "content": instruction})


def _called_in_words(message: Message, spoken: ToolFormat) -> Message:
    functions = [call["function"] for call in message["tool_calls"]]
    written = spoken.written([(f["name"], _object(f["arguments"])) for f in functions])
    said = message["content"]
    return {"role": message["role"], "content": f"{said}\n{written}" if said else written}


def _names(messages: Sequence[Message]) -> dict[str, str]:
    """Ids of calls → the tools that they call."""
    return {
        call["id"]: call["function"]["name"]
        for message in messages
        for call in message.get("tool_calls") or ()
    }


def _with_object(call: Mapping[str, Any], spoken: ToolFormat) -> dict[str, Any]:
    function = call["function"]
    changed = {**function, "arguments": _object(function["arguments"])}
    return {**call, "id": spoken.call_id(call["id"]), "function": changed}


def _object(written: str) -> Any:
    """Arguments as an object for templates; invalid or too deeply nested JSON stays text."""
    try:
        value = json.loads(written)
    except (ValueError, RecursionError):
        return written
    return value if is_shallow(value, MOST_LEVELS) else written
