"""Filters that are ready for use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from enginehouse.api.attempts import tenant_of
from enginehouse.api.call import Call
from enginehouse.api.routing import ModelName
from enginehouse.gateway.content.config import FilterConfig
from enginehouse.gateway.content.placeholders import PlaceholderNumbers
from enginehouse.gateway.content.scanner import ScanRule
from enginehouse.gateway.content.verdicts import Action, ContentSide, JudgeVerdict

#: (rule's label, matched text, numbers of this request) → replacement.
Replace = Callable[[str, str, PlaceholderNumbers], str]


class Judge(Protocol):
    """Decides for a whole text whether it is flagged."""

    async def judge(self, text: str, side: ContentSide) -> JudgeVerdict:
        """The verdict; a failure of the judge is part of it and raises no error."""
        ...


@dataclass(frozen=True, slots=True)
class Filter:
    """Attributes of all filters."""

    name: str
    action: Action
    config: FilterConfig

    def applies(self, call: Call) -> bool:
        """Whether it applies to this caller and this model."""
        return self._for_model(call.model) and self._for_tenant(call)

    def _for_model(self, model: str) -> bool:
        models = self.config.models
        return models is None or model in models or ModelName.parse(model).model in models

    def _for_tenant(self, call: Call) -> bool:
        tenants = self.config.tenants
        return tenants is None or (tenant_of(call) or call.caller.tenant) in tenants


@dataclass(frozen=True, slots=True)
class SpanFilter(Filter):
    """Finds matches in a text.

    Attributes:
        replace: makes the replacement, if the action is ``redact``.
        restores: whether placeholders in the answer are replaced by the prompt's values.
    """

    rules: tuple[ScanRule, ...]
    replace: Replace
    restores: bool = False

    def label(self, rule: ScanRule) -> str:
        """The name of the filter and of the rule, for notes and metrics."""
        return self.name if rule.label == self.name else f"{self.name}.{rule.label}"


@dataclass(frozen=True, slots=True)
class JudgeFilter(Filter):
    """Judges a text as a whole."""

    judge: Judge
