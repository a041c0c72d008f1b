"""Chat messages → token ids, through the version's own Jinja template."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
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
    """The environment for which templates are written (transformers, `chat_template_utils.py`)."""
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


class ChatTemplate:
    """A compiled chat template and the tokenizer that reads what it writes.

    Attributes:
        source: the Jinja text.
        variables: what it reads beside its own: ``messages``, ``tools``, ``enable_thinking``, …
    """

    def __init__(
        self, source: str, tokenizer: Tokenizer, *, bos_token: str = "", eos_token: str = ""
    ) -> None:
        """Compile.

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

    @property
    def knows_tools(self) -> bool:
        """Whether it writes tools that it is given."""
        return "tools" in self.variables

    @cached_property
    def generation_prompt(self) -> str:
        """A short conversation as it is written; its end is where an answer begins."""
        return self._render([{"role": "user", "content": "Hello"}], None, {})

    def encode(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        variables: Mapping[str, Any] | None = None,
    ) -> list[int]:
        """Token ids of a conversation, ending where the assistant begins to speak.

        Args:
            messages: ``{"role": …, "content": …}`` each; control-token strings inside any
                string value are text.
            tools: ``{"type": "function", "function": …}`` each, for templates that know them;
                their strings are text too.
            variables: what else the template may read, by name.

        Raises:
            InvalidRequestError: if the template refuses the conversation.
        """
        guarded = [self._guard(message) for message in messages]
        shown = None if tools is None else [self._guard(tool) for tool in tools]
        return self._tokenizer.encode_guarded(self._render(guarded, shown, variables or {}))

    def _render(
        self,
        messages: list[Any],
        tools: list[Any] | None,
        variables: Mapping[str, Any],
    ) -> str:
        known = {**variables, **self._tokens}
        try:
            return self._template.render(
                messages=messages, tools=tools, add_generation_prompt=True, **known
            )
        except (TemplateError, TypeError, ValueError, KeyError) as error:
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
