"""Messages of a chat request."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from enginehouse.api.refused import refused
from enginehouse.api.tools.schema import ToolCall
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

_FUNCTION_CALL = "function_call is the old form of tool_calls, which is supported: use that"


class TextPart(BaseModel):
    """A content part; text is the only kind that this engine reads."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["text"]
    text: str


def _text_only(value: Any) -> Any:
    """Other kinds of parts by name, where pydantic would only say what it expected."""
    for part in value if isinstance(value, list) else ():
        kind = part.get("type") if isinstance(part, dict) else None
        if isinstance(kind, str) and kind != "text":
            raise PydanticCustomError(
                "unsupported_part",
                "content parts of type '{kind}' are not supported: the model reads text only",
                {"kind": kind},
            )
    return value


Content = Annotated[str | list[TextPart] | None, BeforeValidator(_text_only)]


class Message(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content = None
    name: str | None = None
    refusal: str | None = None
    tool_calls: Annotated[list[ToolCall], Field(min_length=1)] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    audio: Annotated[None, refused("the model hears and speaks no audio")] = None
    function_call: Annotated[None, refused(_FUNCTION_CALL)] = None

    @model_validator(mode="after")
    def _fields_fit_the_role(self) -> Message:
        if (self.role == "tool") is not (self.tool_call_id is not None):
            raise ValueError("messages of role 'tool', and only they, have a tool_call_id")
        if self.tool_calls is not None and self.role != "assistant":
            raise ValueError("only messages of role 'assistant' have tool_calls")
        return self

    @property
    def text(self) -> str:
        """The content's text; empty if there is none."""
        content = self.content or ""
        return content if isinstance(content, str) else "".join(part.text for part in content)

    def for_template(self) -> dict[str, Any]:
        """As stages see it; `developer` is OpenAI's newer word for `system`.

        An answer's reasoning is left out: models are trained on conversations without it.
        """
        role = "system" if self.role == "developer" else self.role
        found: dict[str, Any] = {"role": role, "content": self.text}
        if self.tool_calls is not None:
            found["tool_calls"] = [call.model_dump() for call in self.tool_calls]
        if self.tool_call_id is not None:
            found["tool_call_id"] = self.tool_call_id
        if self.name is not None:
            found["name"] = self.name
        return found
