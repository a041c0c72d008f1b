"""Messages of a chat request: an answer's own message may be sent back as it came."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from enginehouse.api.boundary import (
    EmptyIsLeftOut,
    NullsLeftOut,
    RequestModel,
    ReturnedModel,
    without_nulls,
)
from enginehouse.api.json_depth import Schema
from enginehouse.api.refused import wrong
from enginehouse.api.tools.schema import ToolCall
from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

#: Kinds of parts that carry text under the field `text`; the last two are the Responses API's.
_TEXTS = ("text", "input_text", "output_text")
#: What a model thought: models are trained on conversations without it.
_THOUGHTS = ("reasoning", "thinking", "redacted_thinking")
_OPEN_ENDED = ("prefix", "partial")


class ContentPart(ReturnedModel):
    """A content part; text is the only kind that this engine reads."""

    type: Literal[
        "text", "input_text", "output_text", "refusal", "reasoning", "thinking", "redacted_thinking"
    ]
    text: str = ""
    refusal: str = ""

    @model_validator(mode="before")
    @classmethod
    def _has_its_text(cls, value: Any) -> Any:
        """Thoughts may carry anything under these names; they are not read."""
        value = without_nulls(value)
        kind = value.get("type") if isinstance(value, dict) else None
        if kind in _THOUGHTS:
            return {"type": kind}
        needed = "refusal" if kind == "refusal" else "text"
        if kind in {*_TEXTS, "refusal"} and needed not in value:
            raise PydanticCustomError(
                "missing_text", "a part of type '{kind}' has its text in the field '{needed}'",
                {"kind": kind, "needed": needed},
            )  # fmt: skip
        return value

    @property
    def said(self) -> str:
        """Its text; none where it is a thought."""
        return self.refusal if self.type == "refusal" else self.text


def _text_only(value: Any) -> Any:
    """Other kinds of parts by name, where pydantic would only say what it expected."""
    known = {*_TEXTS, *_THOUGHTS, "refusal"}
    for part in value if isinstance(value, list) else ():
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(kind, str) and kind not in known:
            raise PydanticCustomError(
                "unsupported_part",
                "content parts of type '{kind}' are not supported: the model reads text only",
                {"kind": kind},
            )
    return value


Content = Annotated[str | list[ContentPart] | None, BeforeValidator(_text_only)]


class OlderCall(ReturnedModel):
    """`function_call`, the older form of `tool_calls`."""

    name: str
    arguments: str = ""


class AudioAnswer(ReturnedModel):
    """An answer that another model has spoken; its transcript is what this one can read."""

    transcript: str = ""


class Message(ReturnedModel):
    """One message of a conversation.

    Attributes:
        function_call: read as a call of `tool_calls`, and role ``function`` as its result.
        prefix: of the last message, an assistant's: the answer goes on where its text ends.
        partial: the same, as other servers call it.
    """

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Content = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: Annotated[list[ToolCall] | None, EmptyIsLeftOut] = None
    tool_call_id: str | None = None
    audio: AudioAnswer | None = None
    function_call: OlderCall | None = None
    prefix: bool | None = None
    partial: bool | None = None

    @model_validator(mode="after")
    def _fields_fit_the_role(self) -> Message:
        if (self.role == "tool") is not (self.tool_call_id is not None):
            raise wrong(
                "tool_call_id", "messages of role 'tool', and only they, have a tool_call_id"
            )
        if (self.tool_calls or self.function_call) is not None and self.role != "assistant":
            field = "function_call" if self.tool_calls is None else "tool_calls"
            raise wrong(field, f"only messages of role 'assistant' have {field}")
        if self.role == "function" and self.name is None:
            raise wrong("name", "a message of role 'function' has the function's name")
        return self

    @property
    def text(self) -> str:
        """The content's text, or what was said in its place; empty if there is none."""
        content = self.content
        if isinstance(content, list):
            content = "".join(part.said for part in content)
        spoken = self.audio.transcript if self.audio is not None else ""
        return content or self.refusal or spoken

    @property
    def open_ended(self) -> bool:
        """Whether the caller wants its text continued, in the words of other servers."""
        return any(getattr(self, name) for name in _OPEN_ENDED)

    def for_template(self) -> dict[str, Any]:
        """As stages see it; `developer` is OpenAI's newer word for `system`.

        An answer's reasoning is left out: models are trained on conversations without it.
        """
        role = {"developer": "system", "function": "tool"}.get(self.role, self.role)
        found: dict[str, Any] = {"role": role, "content": self.text}
        if self.calls:
            found["tool_calls"] = self.calls
        if role == "tool":
            found["tool_call_id"] = self.tool_call_id or _older_id(self.name)
        if self.name is not None:
            found["name"] = self.name
        return found

    @property
    def calls(self) -> list[dict[str, Any]]:
        """Its calls, in either form."""
        found = [call.model_dump() for call in self.tool_calls or ()]
        if self.function_call is not None:
            older = self.function_call
            function = {"name": older.name, "arguments": older.arguments}
            found.append({"id": _older_id(older.name), "type": "function", "function": function})
        return found


def _older_id(name: str | None) -> str:
    """The older form has no ids: a result belongs to the call of its function."""
    return f"call_{name}"


class ChatForm(RequestModel):
    """The fields that say how a conversation is written, under vLLM's names.

    Attributes:
        chat_template_kwargs: what the template may read, by name.
        add_generation_prompt: whether the prompt ends where an assistant begins to speak; true by
            default.
        continue_final_message: whether the answer goes on where the last message ends.
    """

    messages: Annotated[list[Message], Field(min_length=1)] | None = None
    chat_template_kwargs: Annotated[Schema, NullsLeftOut] | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None

    @property
    def continues(self) -> bool:
        """Whether the answer goes on where the last message ends."""
        last = self.messages[-1] if self.messages else None
        return bool(self.continue_final_message) or (last is not None and last.open_ended)
