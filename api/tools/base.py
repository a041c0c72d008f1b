"""What a tool format is: how a model family writes calls, and how it is told of tools."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from typing import Any, ClassVar

from enginehouse.api.tools.deltas import CallWriter, Reading, ToolCallParser
from enginehouse.api.tools.guide import calls_guide
from enginehouse.api.tools.reader import CallReader

from enginehouse.generation import Guide


class ToolFormat(ABC):
    """How a model family writes calls.

    Attributes:
        name: in settings.
        markers: strings that open calls wherever they stand.
        bare: characters that open calls only as the first of an answer.
        arguments_key: of a call's JSON object.
    """

    name: ClassVar[str]
    markers: ClassVar[tuple[str, ...]] = ()
    bare: ClassVar[str] = ""
    arguments_key: ClassVar[str] = "arguments"

    @abstractmethod
    def matches(self, template_source: str) -> bool:
        """Whether a chat template teaches this format."""

    @abstractmethod
    def read(self, calls: CallWriter) -> Reading[None]:
        """Read the calls that an opening announces, and no character more.

        Raises:
            NotACallError: what was taken since the last `keep` is text.
        """

    @abstractmethod
    def instruction(self, tools: Sequence[Mapping[str, Any]]) -> str:
        """A system message's text for a template that knows no tools."""

    @abstractmethod
    def written(self, calls: Sequence[tuple[str, Any]]) -> str:
        """Calls (name, arguments) as the model writes them, for such a template."""

    def result(self, name: str | None, content: str) -> str:
        """A tool's result as a user's message, for such a template."""
        head = "Result" if name is None else f"Result of {name}"
        return f"{head}:\n{content}"

    def call_id(self, given: str) -> str:
        """A call's id as templates of this family take it."""
        return given

    def guide(
        self, tools: Sequence[Mapping[str, Any]], *, only: str | None, parallel: bool
    ) -> Guide:
        """The constraint that makes an answer calls and nothing else; see `guided_parser`.

        Args:
            only: the one tool that has to be called; None is any.
            parallel: whether there may be several calls.
        """
        return calls_guide(tools, self.arguments_key, only=only, parallel=parallel)

    def parser(self, names: Collection[str], *, parallel: bool = True) -> ToolCallParser:
        """A parser of one free answer; `names` are the tools that were offered."""
        return CallReader(self, names, parallel=parallel)


def as_json(value: Any) -> str:
    """JSON as models are shown it."""
    return json.dumps(value, ensure_ascii=False)
