"""Validation of a request's tool fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from enginehouse.api.tools.schema import ChatToolChoice, Tool

from enginehouse.errors import InvalidRequestError
from enginehouse.generation import Guide
from enginehouse.text.tool_calls.base import ToolFormat
from enginehouse.text.tool_calls.deltas import ToolCallParser
from enginehouse.text.tool_calls.guide import calls_or_guide
from enginehouse.text.tool_calls.guided import guided_parser


@dataclass(frozen=True, slots=True)
class ToolsAsked:
    """The tools shown to the model, and whether it must call one.

    Attributes:
        shown: tools for the template; empty if the model is shown none.
        forced: whether the answer must consist of calls.
        only: the one function that must be called.
    """

    shown: tuple[dict[str, Any], ...] = ()
    forced: bool = False
    only: str | None = None
    parallel: bool = True

    @classmethod
    def of(
        cls, tools: Sequence[Tool] | None, choice: str | ChatToolChoice | None, *, parallel: bool
    ) -> ToolsAsked:
        """Read the fields `tools`, `tool_choice` and `parallel_tool_calls`.

        Raises:
            InvalidRequestError: if they contradict each other.
        """
        given = {tool.function.name: tool.for_template() for tool in tools or ()}
        if len(given) < len(tools or ()):
            raise InvalidRequestError("two tools have the same name: rename one", field="tools")
        if not isinstance(choice, ChatToolChoice) and choice in {None, "auto", "none"}:
            shown = () if choice == "none" else tuple(given.values())
            return cls(shown, parallel=parallel)
        if not given:
            raise InvalidRequestError(
                "tool_choice asks for a call and there are no tools: give tools",
                field="tool_choice",
            )
        if not isinstance(choice, ChatToolChoice):
            return cls(tuple(given.values()), forced=True, parallel=parallel)
        if choice.function is not None:
            only = choice.function.name
            _known([only], given)
            return cls(tuple(given.values()), forced=True, only=only, parallel=False)
        assert choice.allowed_tools is not None  # noqa: S101 - its validator has looked
        names = [tool.function.name for tool in choice.allowed_tools.tools]
        _known(names, given)
        return cls(
            tuple(tool for name, tool in given.items() if name in names),
            forced=choice.allowed_tools.mode == "required",
            parallel=parallel,
        )

    @property
    def names(self) -> list[str]:
        """Names of the functions that are shown."""
        return [tool["function"]["name"] for tool in self.shown]

    def guide(self, spoken: ToolFormat, response: dict[str, Any] | None) -> Guide | None:
        """The constraint that these tools put on an answer, or None.

        Args:
            response: the JSON Schema for an answer without calls, or None.
        """
        if self.forced:
            return spoken.guide(self.shown, only=self.only, parallel=self.parallel)
        if self.shown and response is not None:
            key = spoken.arguments_key
            return calls_or_guide(self.shown, key, response, parallel=self.parallel)
        return None

    def parser(self, spoken: ToolFormat, *, response: bool) -> ToolCallParser | None:
        """The parser for an answer under `guide`; None if the answer cannot contain calls."""
        if self.forced:
            return guided_parser(self.names, parallel=self.parallel)
        if not self.shown:
            return None
        if response:
            return guided_parser(self.names, parallel=self.parallel, or_object=True)
        return spoken.parser(self.names, parallel=self.parallel)


def _known(names: Sequence[str], given: dict[str, Any]) -> None:
    for name in names:
        if name not in given:
            raise InvalidRequestError(
                f"tool_choice names {name!r}, which is not in tools; there are: "
                f"{', '.join(given) or 'none'}",
                field="tool_choice",
            )
