"""Names of chat fields in errors → names of the fields of the original request."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from enginehouse.api.schemas import ChatRequest
from pydantic import ValidationError

from enginehouse.errors import InvalidRequestError
from enginehouse.requests import problem_of

_MESSAGE = re.compile(r"messages\[(\d+)\](.*)")
_TOOL = re.compile(r"(tools\[\d+\])\.function(?:\.(\w+))?(.*)")


@dataclass(frozen=True, slots=True)
class OwnNames:
    """Another API's names for fields of the chat API, for one request.

    Attributes:
        names: name in the chat API or the engine → name in the other API. A longer name precedes
            its own prefix.
        tool_names: the same for fields of a function.
        places: for each message of the chat request, the field that it comes from.
    """

    names: Mapping[str, str]
    tool_names: Mapping[str, str]
    places: Sequence[str] = ()

    def of(self, field: str | None) -> str | None:
        """The other API's name of a field."""
        if field is None:
            return None
        message = _MESSAGE.fullmatch(field)
        if message is not None and int(message[1]) < len(self.places):
            # In the other APIs a call is an item or block of its own.
            rest = "" if message[2].startswith(".tool_calls") else message[2]
            return self.places[int(message[1])] + rest
        tool = _TOOL.fullmatch(field)
        if tool is not None:
            inner = "" if tool[2] is None else f".{self.tool_names.get(tool[2], tool[2])}"
            return tool[1] + inner + tool[3]
        for chat, own in self.names.items():
            rest = field.removeprefix(chat)
            if rest != field and rest[:1] in {"", ".", "["}:
                return own + rest
        return field

    def in_sentence(self, sentence: str) -> str:
        """A sentence with the other API's field names; names that are common words stay."""
        words = [re.escape(name) for name in self.names if "_" in name]
        return re.sub(rf"\b({'|'.join(words)})\b", lambda found: self.names[found[0]], sentence)

    @contextmanager
    def in_errors(self) -> Iterator[None]:
        """Errors raised in the block name the other API's fields."""
        try:
            yield
        except InvalidRequestError as error:
            error.field = self.of(error.field)
            error.args = (self.in_sentence(str(error)),)
            raise


def chat_request(values: dict[str, Any], names: OwnNames) -> ChatRequest:
    """Validate the chat request that another API's request was translated to.

    Raises:
        InvalidRequestError: naming the field of the other API that is wrong.
    """
    try:
        return ChatRequest.model_validate(values)
    except ValidationError as error:
        problem = problem_of(error.errors(), values)
        field = names.of(problem.param)
        message = problem.message.replace(repr(problem.param), repr(field))
        raise InvalidRequestError(message, field=field) from None
