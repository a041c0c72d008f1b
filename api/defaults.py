"""What is set for a model: defaults of its requests, and the most tokens of an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel

from enginehouse.errors import InvalidRequestError

_Body = TypeVar("_Body", bound=BaseModel)
#: The fields of a request that limit its answer, the newer name first.
_LIMITS = ("max_completion_tokens", "max_tokens")


@dataclass(frozen=True, slots=True)
class ModelDefaults:
    """What is set for one model; by default nothing.

    Attributes:
        sampling: fields of a request → values for callers who leave them out.
        max_tokens: most tokens of one answer. Asking for more is refused; a request that does
            not say gets at most this many.
        tool_format: of tool calls, by its name; None takes it from the chat template.
    """

    sampling: Mapping[str, Any] = field(default_factory=dict)
    max_tokens: int | None = None
    tool_format: str | None = None

    def settled(self, body: _Body) -> _Body:
        """The request with these defaults for every field that the caller left out.

        Raises:
            InvalidRequestError: if it asks for more tokens than the model may give.
        """
        update = {
            name: value
            for name, value in self.sampling.items()
            if getattr(body, name, None) is None
        }
        if self.max_tokens is not None:
            given = {name: getattr(body, name, None) for name in _LIMITS}
            for name, value in given.items():
                if value is not None and value > self.max_tokens:
                    raise InvalidRequestError(
                        f"{name} is {value}; this model gives {self.max_tokens} tokens at most: "
                        "ask for fewer, or leave it out",
                        field=name,
                    )
            if all(value is None for value in given.values()):
                update["max_tokens"] = self.max_tokens
        return body.model_copy(update=update) if update else body


class ModelNames(Protocol):
    """Other names that models have at this endpoint."""

    @property
    def default(self) -> str | None:
        """Name that goes first in a list of models; None is none in particular."""
        ...

    @property
    def aliases(self) -> Mapping[str, str]:
        """Other name → the model that it stands for."""
        ...

    def resolved(self, name: str) -> str:
        """The model that a name stands for; any other name as it is."""
        ...


class OwnModelNames:
    """Models have no other names; see `ModelNames`."""

    default: str | None = None
    aliases: Mapping[str, str] = {}

    def resolved(self, name: str) -> str:
        """The name itself."""
        return name
