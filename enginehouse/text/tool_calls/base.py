"""Interface of tool formats: how a model family writes calls, and how tools are described to it."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from enginehouse.generation import Guide
from enginehouse.text.tool_calls.deltas import CallWriter, Reading, ToolCallParser
from enginehouse.text.tool_calls.guide import calls_guide
from enginehouse.text.tool_calls.reader import CallReader


class ToolFormat(ABC):
    """How a model family writes calls.

    Attributes:
        name: name in settings.
        markers: strings that begin calls anywhere in an answer.
        bare: characters that begin calls only at the start of an answer.
        arguments_key: key of the arguments in a call's JSON object.
    """

    name: ClassVar[str]
    markers: ClassVar[tuple[str, ...]] = ()
    bare: ClassVar[str] = ""
    arguments_key: ClassVar[str] = "arguments"

    @abstractmethod
    def matches(self, template_source: str) -> bool:
        """Whether a chat template uses this format."""

    @abstractmethod
    def read(self, calls: CallWriter) -> Reading[None]:
        """Read the calls after an opening, and no character more.

        Raises:
            NotACallError: if the text since the last `keep` is not a call.
        """

    @abstractmethod
    def instruction(self, tools: Sequence[Mapping[str, Any]]) -> str:
        """Text of a system message with the tools, for a template without tool support."""

    @abstractmethod
    def written(self, calls: Sequence[tuple[str, Any]]) -> str:
        """Calls (name, arguments) in the model's format, for a template without tool support."""

    def result(self, name: str | None, content: str) -> str:
        """A tool's result as a user message, for a template without tool support."""
        head = "Result" if name is None else f"Result of {name}"
        return f"{head}:\n{content}"

    def call_id(self, given: str) -> str:
        """A call's id in the form that templates of this family accept."""
        return given

    def guide(
        self, tools: Sequence[Mapping[str, Any]], *, only: str | None, parallel: bool
    ) -> Guide:
        """The constraint that makes an answer consist of calls; see `guided_parser`.

        Args:
            only: the one tool that must be called; None allows any.
            parallel: whether several calls are allowed.
        """
        return calls_guide(tools, self.arguments_key, only=only, parallel=parallel)

    def parser(self, names: Collection[str], *, parallel: bool = True) -> ToolCallParser:
        """A parser for one unconstrained answer; `names` are the names of the offered tools."""
        return CallReader(self, names, parallel=parallel)


def as_json(value: Any) -> str:
    """JSON in the form in which models are shown it."""
    return json.dumps(value, ensure_ascii=False)
