"""Section `content` of the endpoint's file: two ordered lists of filters."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Literal

import regex
from enginehouse.gateway.content.kinds import USUAL_KINDS, Kind
from enginehouse.gateway.content.partial import as_regex, opening
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, field_validator, model_validator

Role = Literal["system", "developer", "user", "assistant", "tool"]
#: The name is also a metric label, so it is short and plain.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,40}$")]
Score = Annotated[float, Field(gt=0, le=1)]
Seconds = Annotated[float, Field(gt=0, le=60, allow_inf_nan=False)]
Judged = Literal["block", "flag"]
OnFailure = Literal["allow", "block"]
_ROLES: tuple[Role, ...] = ("system", "developer", "user", "tool")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FilterConfig(_Section):
    """Fields that all filters have.

    Attributes:
        name: name in messages, notes and metrics, unique in its list. None uses the filter's type.
        models: model names, as callers write them, to which it applies; None means all.
        tenants: tenants to which it applies; None means all.
        roles: roles of the messages that an input filter reads; prompts and inputs count as
            ``user``.
    """

    name: Name | None = None
    models: frozenset[str] | None = None
    tenants: frozenset[str] | None = None
    roles: frozenset[Role] = frozenset(_ROLES)


class PatternsConfig(FilterConfig):
    """Words and regular expressions.

    Attributes:
        words: found as whole words; white space in them must match exactly.
        regexes: expressions of Python's `re`.
        ignore_case: whether ``Word`` matches ``word``.
        action: what is done with a match, or with a text that contains one.
        replacement: text that replaces a match, if the action is ``redact``.
    """

    type: Literal["patterns"]
    words: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = ()
    regexes: tuple[Annotated[str, Field(min_length=1, max_length=2000)], ...] = ()
    ignore_case: bool = True
    action: Literal["block", "redact", "flag"] = "block"
    replacement: str = "[REDACTED]"

    @field_validator("regexes")
    @classmethod
    def _compile(cls, regexes: tuple[str, ...]) -> tuple[str, ...]:
        for written in regexes:
            try:
                pattern = re.compile(written)
                opening(as_regex(pattern))
            except (re.error, regex.error, ValueError) as error:
                raise ValueError(f"{written!r} cannot be used: {error}") from None
            if pattern.match(""):
                raise ValueError(f"{written!r} matches nothing at all: have it take a character")
        return regexes

    @model_validator(mode="after")
    def _has_some(self) -> PatternsConfig:
        if not self.words and not self.regexes:
            raise ValueError("give words or regexes")
        return self


class PiiConfig(FilterConfig):
    """Personal data and secrets that have a recognizable form.

    Attributes:
        kinds: kinds to look for.
        action: what is done with a match, or with a text that contains one.
        placeholders: ``kind`` writes ``[EMAIL]``; ``numbered`` writes ``[EMAIL_1]``, with the same
            number for the same value in one request and its answer.
        restore: whether placeholders in the answer are replaced by the prompt's values; for input
            filters with ``numbered`` only.
    """

    type: Literal["pii"]
    kinds: tuple[Kind, ...] = USUAL_KINDS
    action: Literal["block", "redact", "flag"] = "redact"
    placeholders: Literal["kind", "numbered"] = "kind"
    restore: bool = False

    @model_validator(mode="after")
    def _can_restore(self) -> PiiConfig:
        if self.restore and (self.placeholders != "numbered" or self.action != "redact"):
            raise ValueError("restore needs placeholders: numbered and action: redact")
        return self


class ClassifierConfig(FilterConfig):
    """A small classifier of offensive English, from the package `alt-profanity-check`.

    Attributes:
        threshold: probability from which a text is flagged.
    """

    type: Literal["classifier"]
    threshold: Score = 0.9
    action: Judged = "block"


class EndpointConfig(FilterConfig):
    """A service of your own: it gets ``{"text", "stage"}`` and answers ``{"flagged"}``.

    Attributes:
        url: address for POST requests.
        timeout_s: timeout for one text, in seconds.
        on_failure: what happens to a text if the service gives no verdict.
        token_env: environment variable with a bearer token, or None.
    """

    type: Literal["endpoint"]
    url: HttpUrl
    timeout_s: Seconds = 2.0
    on_failure: OnFailure = "block"
    token_env: str | None = None
    action: Judged = "block"


class InjectionConfig(FilterConfig):
    """Heuristics for prompt injection; see docs/content.md for the features and their weights.

    Attributes:
        threshold: score from which a text is flagged.
    """

    type: Literal["injection"]
    threshold: Score = 0.7
    action: Judged = "block"
    roles: frozenset[Role] = frozenset(("user", "tool"))


class EntryPointConfig(FilterConfig):
    """A callable of your own, an entry point of the group ``enginehouse.content_filters``.

    Attributes:
        entry_point: its name in that group.
        on_failure: what happens to a text if the callable raises.
    """

    type: Literal["entry_point"]
    entry_point: str
    on_failure: OnFailure = "block"
    action: Judged = "block"


InputFilter = Annotated[
    PatternsConfig
    | PiiConfig
    | ClassifierConfig
    | EndpointConfig
    | InjectionConfig
    | EntryPointConfig,
    Field(discriminator="type"),
]
#: Output filters have no `injection`: an answer does not inject anything into its own prompt.
OutputFilter = Annotated[
    PatternsConfig | PiiConfig | ClassifierConfig | EndpointConfig | EntryPointConfig,
    Field(discriminator="type"),
]


class LogConfig(_Section):
    """Redaction of personal data in the adapter's log.

    Attributes:
        redact: whether it is redacted.
        kinds: kinds to look for.
    """

    redact: bool = True
    kinds: tuple[Kind, ...] = (*(k for k in USUAL_KINDS if k != "ip"), "announced_secret")


class ContentConfig(_Section):
    """Section `content` of the endpoint's file; without filters no text is read.

    Attributes:
        input: filters of prompts, in their order.
        output: filters of answers, in their order.
        hold_back_characters: most characters that an output filter holds back because they could
            become a match. Text that has not begun to match by then is sent.
        window_characters: characters of an answer that are judged together; they are held back
            until the verdict.
        context_characters: characters before a window that are judged with it.
        id_prompts: what happens to a prompt of token ids if a filter would read it.
        log: redaction of personal data in the adapter's log.
    """

    input: tuple[InputFilter, ...] = ()
    output: tuple[OutputFilter, ...] = ()
    hold_back_characters: Annotated[int, Field(ge=16, le=4096)] = 256
    window_characters: Annotated[int, Field(ge=1, le=100_000)] = 400
    context_characters: Annotated[int, Field(ge=0, le=10_000)] = 200
    id_prompts: Literal["refuse", "pass"] = "refuse"
    log: LogConfig = LogConfig()

    @model_validator(mode="after")
    def _names_differ(self) -> ContentConfig:
        for where, filters in (("input", self.input), ("output", self.output)):
            twice = _repeated(item.name or item.type for item in filters)
            if twice is not None:
                raise ValueError(f"two filters of {where} are named {twice!r}: give each a name")
        if any(isinstance(item, PiiConfig) and item.restore for item in self.output):
            raise ValueError("restore belongs to a filter of input")
        return self


def _repeated(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
