"""Prompt templates and their variables; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jinja2 import TemplateError, UndefinedError, meta
from jinja2.runtime import StrictUndefined, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from enginehouse.errors import InvalidRequestError

_VARIABLE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
_STATEMENT = re.compile(r"\{%.*?%\}", re.DOTALL)
_FIELD = "prompt"


class _Missing(StrictUndefined):
    """An undefined variable: a template may test whether it is defined, but not print it."""

    __bool__ = Undefined.__bool__  # type: ignore[assignment]


_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=_Missing, autoescape=False)


@dataclass(frozen=True)
class PromptTemplate:
    """One version of a prompt.

    Attributes:
        messages: role and text of each message; a text prompt is one message of role ``system``.
    """

    name: str
    version: int
    messages: Sequence[tuple[str, str]]

    @property
    def label(self) -> str:
        """``name/version``."""
        return f"{self.name}/{self.version}"

    @cached_property
    def variables(self) -> frozenset[str]:
        """Names of all variables.

        Raises:
            InvalidRequestError: if the text is not a valid template.
        """
        found: set[str] = set()
        for _, text in self.messages:
            found |= self._declared(text) if _STATEMENT.search(text) else _plain(text)
        return frozenset(found)

    def rendered(self, variables: Mapping[str, str]) -> list[dict[str, Any]]:
        """The messages with their variables filled in; inserted values are not expanded again.

        Raises:
            InvalidRequestError: naming a variable that is missing or that the prompt does not have.
        """
        if unknown := sorted(variables.keys() - self.variables):
            raise InvalidRequestError(
                f"prompt {self.label} has no variable {unknown[0]!r}; variables: "
                f"{', '.join(sorted(self.variables)) or 'none'}",
                field=_FIELD,
            )
        return [
            {"role": role, "content": self._filled(text, variables)} for role, text in self.messages
        ]

    def _filled(self, text: str, variables: Mapping[str, str]) -> str:
        if _STATEMENT.search(text) is None:
            for name in sorted(_plain(text)):
                if name not in variables:
                    raise self._without(name)
            return _VARIABLE.sub(lambda found: variables[found[1]], text)
        try:
            return _ENVIRONMENT.from_string(text).render(variables)
        except UndefinedError:
            missing = sorted(self._declared(text) - variables.keys())
            raise self._without(" or ".join(missing)) from None
        except (TemplateError, TypeError, ValueError) as error:
            raise self._broken(error) from None

    def _declared(self, text: str) -> set[str]:
        try:
            return meta.find_undeclared_variables(_ENVIRONMENT.parse(text))
        except TemplateError as error:
            raise self._broken(error) from None

    def _without(self, name: str) -> InvalidRequestError:
        return InvalidRequestError(
            f"prompt {self.label} needs the variable {name!r}: give it in prompt.variables",
            field=_FIELD,
        )

    def _broken(self, error: Exception) -> InvalidRequestError:
        return InvalidRequestError(
            f"prompt {self.label} cannot be rendered ({type(error).__name__}): register a version "
            "that is a valid template",
            field=_FIELD,
        )


def _plain(text: str) -> set[str]:
    return set(_VARIABLE.findall(text))


def before(first: Sequence[Mapping[str, Any]], then: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Prepend a prompt's messages to a conversation.

    Chat templates accept one system message, at the beginning, so a second one is appended to it.
    """
    ours = [dict(message) for message in first]
    if ours and then and ours[-1]["role"] == then[0]["role"] == "system":
        joined = f"{ours[-1]['content']}\n\n{then[0]['content']}"
        return [*ours[:-1], {**then[0], "content": joined}, *then[1:]]
    return [*ours, *then]
