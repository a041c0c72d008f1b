"""Renders chat messages to token ids with the version's Jinja template."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import Enum, auto
from functools import cached_property
from typing import Any, NoReturn

from jinja2 import TemplateError, TemplateSyntaxError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from enginehouse.errors import BundleError, InvalidRequestError
from enginehouse.text.tokenizer import Tokenizer


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _strftime_now(pattern: str) -> str:
    return datetime.now().astimezone().strftime(pattern)


def _tojson(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _environment() -> ImmutableSandboxedEnvironment:
    """The Jinja environment that templates expect (transformers, `chat_template_utils.py`)."""
    # Output is model input, not HTML: escaping would change it.
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
        extensions=["jinja2.ext.loopcontrols"],
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = _strftime_now
    return environment


#: Names that the template gets from us; callers cannot set them.
RESERVED = frozenset(
    {"messages", "tools", "add_generation_prompt", "bos_token", "eos_token", "raise_exception",
     "strftime_now"}
)  # fmt: skip
#: Exceptions that a template may raise because of its input.
_FAILURES = (
    TemplateError, TypeError, ValueError, LookupError, ArithmeticError, AttributeError,
    RecursionError,
)  # fmt: skip


class PromptEnding(Enum):
    """Where the prompt of a conversation ends."""

    ANSWER = auto()
    """At the start of the assistant's answer."""
    MESSAGES = auto()
    """After the last message, closed by the template."""
    OPEN = auto()
    """After the text of the last message, which the model continues."""


class ChatTemplate:
    """A compiled chat template with its tokenizer.

    Attributes:
        source: the Jinja source.
        variables: variables that the template reads: ``messages``, ``tools``,
            ``enable_thinking``, …
    """

    def __init__(
        self, source: str, tokenizer: Tokenizer, *, bos_token: str = "", eos_token: str = ""
    ) -> None:
        """Compile the template.

        Raises:
            BundleError: if the template is not valid Jinja.
        """
        environment = _environment()
        try:
            self.variables = frozenset(meta.find_undeclared_variables(environment.parse(source)))
            self._template = environment.from_string(source)
        except TemplateSyntaxError as error:
            raise BundleError(f"chat template, line {error.lineno}: {error.message}") from error
        self.source = source
        self._tokenizer = tokenizer
        self._tokens = {"bos_token": bos_token, "eos_token": eos_token}
        # Random, so that it cannot occur in a message.
        self._mark = f"\ue002{secrets.token_hex(8)}\ue003"

    @property
    def knows_tools(self) -> bool:
        """Whether the template uses tools."""
        return "tools" in self.variables

    @cached_property
    def generation_prompt(self) -> str:
        """A rendered short conversation, which ends where an answer begins."""
        return self.short_prompt({})

    def short_prompt(self, variables: Mapping[str, Any]) -> str:
        """`generation_prompt` with these template variables.

        Raises:
            InvalidRequestError: if the template rejects them.
        """
        return self._render([{"role": "user", "content": "Hello"}], None, variables)

    def encode(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        variables: Mapping[str, Any] | None = None,
        ending: PromptEnding = PromptEnding.ANSWER,
    ) -> list[int]:
        """Token ids of a conversation.

        Args:
            messages: each ``{"role": …, "content": …}``; strings that look like control tokens
                are encoded as text.
            tools: each ``{"type": "function", "function": …}``, for templates that use them;
                their strings are text too.
            variables: further template variables by name, without `RESERVED`; text too.

        Raises:
            InvalidRequestError: if the template rejects the conversation, or does not contain the
                text that is to be continued.
        """
        guarded = [self._guard(message) for message in messages]
        shown = None if tools is None else [self._guard(tool) for tool in tools]
        known = self._guard(variables or {})
        if ending is not PromptEnding.OPEN:
            begins = ending is PromptEnding.ANSWER
            rendered = self._render(guarded, shown, known, begins=begins)
        else:
            guarded[-1]["content"] += self._mark
            rendered = self._cut(self._render(guarded, shown, known, begins=False))
        return self._tokenizer.encode_guarded(rendered)

    def _cut(self, rendered: str) -> str:
        """The text before the mark, without the template's end of the message."""
        end = rendered.find(self._mark)
        if end < 0:
            raise InvalidRequestError(
                "the model's chat template does not show the last message's text as it is, so it "
                "cannot be continued: leave out continue_final_message",
                field="continue_final_message",
            )
        return rendered[:end]

    def _render(
        self,
        messages: list[Any],
        tools: list[Any] | None,
        variables: Mapping[str, Any],
        *,
        begins: bool = True,
    ) -> str:
        own = {"messages": messages, "tools": tools, "add_generation_prompt": begins}
        try:
            return self._template.render({**variables, **self._tokens, **own})
        except _FAILURES as error:
            raise InvalidRequestError(
                f"the model's chat template refuses these messages: {error}", field="messages"
            ) from error

    def _guard(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._tokenizer.guard(value)
        if isinstance(value, Mapping):
            return {self._guard(key): self._guard(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._guard(item) for item in value]
        return value
