"""Request fields about tools."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from enginehouse.api.boundary import RequestModel, ReturnedModel
from enginehouse.api.json_depth import Schema
from enginehouse.api.refused import wrong
from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

#: Function names as OpenAI allows them.
FunctionName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]


class FunctionDefinition(ReturnedModel):
    """A function that the model may call.

    Attributes:
        parameters: a JSON Schema of an object; None means that it takes no arguments.
        strict: enforced wherever a call is: with `tool_choice` required or naming a function.
    """

    name: FunctionName
    description: str | None = None
    parameters: Schema | None = None
    strict: bool | None = None


class Tool(ReturnedModel):
    """One entry of `tools`; only functions are supported."""

    type: Literal["function"]
    function: FunctionDefinition

    def for_template(self) -> dict[str, Any]:
        """The form for chat templates, without unset fields and without `strict`."""
        function = self.function.model_dump(exclude_none=True, exclude={"strict"})
        # Templates read this key without testing whether it is present.
        function.setdefault("parameters", {"type": "object", "properties": {}})
        return {"type": "function", "function": function}


class FunctionReference(RequestModel):
    """A reference to a function by name."""

    name: FunctionName


class NamedTool(RequestModel):
    """A reference to a tool by its function's name."""

    type: Literal["function"] = "function"
    function: FunctionReference


class AllowedChatTools(RequestModel):
    """The tools that may be called; the others are not shown to the model."""

    mode: Literal["auto", "required"]
    tools: Annotated[list[NamedTool], Field(min_length=1)]


class ChatToolChoice(RequestModel):
    """`tool_choice` as an object: one function, or a set of allowed ones."""

    type: Literal["function", "allowed_tools"]
    function: FunctionReference | None = None
    allowed_tools: AllowedChatTools | None = None

    @model_validator(mode="after")
    def _holds_what_its_type_says(self) -> ChatToolChoice:
        if getattr(self, self.type) is None:
            raise wrong(self.type, f"type is {self.type!r}, so it has to be given")
        if self.function is not None and self.allowed_tools is not None:
            raise wrong("allowed_tools", "function is given too: give one of both")
        return self


class CalledFunction(ReturnedModel):
    """The function of a call; `arguments` is JSON text as the model wrote it."""

    name: str
    arguments: str = ""


class ToolCall(ReturnedModel):
    """A call of an earlier answer that is part of the conversation."""

    id: str
    type: Literal["function"] = "function"
    function: CalledFunction


def _functions_only(value: Any) -> Any:
    """Reject other types by name, where pydantic would only list the expected ones."""
    for item in value if isinstance(value, list) else [value]:
        kind = item.get("type") if isinstance(item, dict) else None
        if kind == "custom":
            raise PydanticCustomError(
                "unsupported_tool",
                "tools of type 'custom' are not supported: describe it as a function",
            )
    return value


Tools = Annotated[list[Tool], Field(min_length=1, max_length=128), BeforeValidator(_functions_only)]
Choice = Annotated[
    Literal["none", "auto", "required"] | ChatToolChoice, BeforeValidator(_functions_only)
]
