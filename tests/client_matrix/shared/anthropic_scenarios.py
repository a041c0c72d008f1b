"""Scenarios of Anthropic's SDK, against whatever answers `/v1/messages`."""

from __future__ import annotations

from typing import Any

import anthropic
import probe
from probe import check, refused, same, scenario

_ASKED: Any = [{"role": "user", "content": probe.QUESTION}]
_TOOL: Any = {
    "name": "get_weather",
    "description": "Weather of a city",
    "input_schema": probe.WEATHER["function"]["parameters"],
}


def declare(client: anthropic.Anthropic, *, counts: bool = True, own: bool = True) -> None:
    """Declare them.

    Args:
        counts: tokens can be counted.
        own: what answers is Enginehouse itself; a proxy has wordings of its own.
    """

    def asked(**changed: Any) -> Any:
        given = {"model": probe.MODEL, "messages": _ASKED, "max_tokens": 24}
        return client.messages.create(**given | changed)

    _texts(client, asked)
    _tools(client, asked)
    _errors(asked, own=own)
    if counts:

        @scenario("`messages.count_tokens`", column="usage")
        def count() -> None:
            found = client.messages.count_tokens(model=probe.MODEL, messages=_ASKED)
            check(found.input_tokens > 0, f"input_tokens: {found.input_tokens}")


def _texts(client: anthropic.Anthropic, asked: Any) -> None:
    @scenario("`messages.create`", column="chat")
    def chat() -> None:
        answer = asked(system="You are helpful.")
        check(answer.content[0].text, "no text")
        check(
            answer.stop_reason in {"end_turn", "max_tokens"}, f"stop_reason: {answer.stop_reason}"
        )

    @scenario("`messages.stream`", column="streaming")
    def stream() -> None:
        with client.messages.stream(model=probe.MODEL, messages=_ASKED, max_tokens=24) as events:
            text = "".join(events.text_stream)
            final = events.get_final_message()
        same(text, final.content[0].text, "text of the stream")
        check(final.usage.output_tokens > 0, "no usage")

    @scenario("the answer's content blocks appended, and asked again", column="turns")
    def turns() -> None:
        first = asked()
        blocks = [block.model_dump() for block in first.content]
        for content in (first.content, blocks):
            again = asked(
                messages=[
                    *_ASKED,
                    {"role": "assistant", "content": content},
                    {"role": "user", "content": probe.AGAIN},
                ]
            )
            check(again.content[0].text, "no text")

    @scenario("`cache_control` on blocks, as agents send it", column="turns")
    def cached() -> None:
        mark = {"cache_control": {"type": "ephemeral"}}
        answer = asked(
            system=[{"type": "text", "text": "You are helpful.", **mark}],
            messages=[
                {
                    "role": "user",
                    "content": [{"type": "text", "text": probe.QUESTION, **mark}],
                }
            ],
        )
        check(answer.content[0].text, "no text")

    @scenario("usage is told", column="usage")
    def usage() -> None:
        found = asked().usage
        check(found.input_tokens > 0 and found.output_tokens > 0, f"usage: {found}")


def _tools(client: anthropic.Anthropic, asked: Any) -> None:
    choice = {"type": "any"}

    @scenario("a call that is required, its result, and the answer", column="tools")
    def tools() -> None:
        first = asked(tools=[_TOOL], tool_choice=choice, max_tokens=256)
        same(first.stop_reason, "tool_use", "stop_reason")
        call = next(block for block in first.content if block.type == "tool_use")
        probe.is_city(call.input)
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "21 degrees"}
        last = asked(
            tools=[_TOOL],
            messages=[
                *_ASKED,
                {"role": "assistant", "content": [block.model_dump() for block in first.content]},
                {"role": "user", "content": [result]},
            ],
            tool_choice={"type": "none"},
        )
        check(last.content[0].text, "no text")

    @scenario("a streamed call", column="tools")
    def streamed() -> None:
        with client.messages.stream(
            model=probe.MODEL, messages=_ASKED, max_tokens=256, tools=[_TOOL], tool_choice=choice
        ) as events:
            final: Any = events.get_final_message()
        call = next(block for block in final.content if block.type == "tool_use")
        probe.is_city(call.input)


def _errors(asked: Any, *, own: bool) -> None:
    @scenario("an overflow is a BadRequestError", column="errors")
    def overflow() -> None:
        messages = [{"role": "user", "content": probe.TOO_LONG}]
        # Its own wording, which agents match to compact their history.
        words = ("prompt is too long",) if own else ()
        refused(anthropic.BadRequestError, lambda: asked(messages=messages), *words)

    @scenario("an unknown model is an error of its name", column="errors")
    def unknown() -> None:
        kind = anthropic.NotFoundError if own else anthropic.APIStatusError
        refused(kind, lambda: asked(model="nobody"), "nobody")
