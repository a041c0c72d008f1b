"""Filters that are ready for use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from enginehouse.api.call import Call
from enginehouse.api.routing import ModelName
from enginehouse.gateway.content.config import FilterConfig
from enginehouse.gateway.content.placeholders import PlaceholderNumbers
from enginehouse.gateway.content.scanner import ScanRule
from enginehouse.gateway.content.verdicts import Action, ContentSide, JudgeVerdict

#: (rule's label, what was found, this request's numbers) → what stands there instead.
Replace = Callable[[str, str, PlaceholderNumbers], str]


class Judge(Protocol):
    """Decides for a whole text whether it is flagged."""

    async def judge(self, text: str, side: ContentSide) -> JudgeVerdict:
        """A verdict; a judge that cannot be asked says so in it and raises nothing."""
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
        return tenants is None or (call.tenant or call.caller.tenant) in tenants


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
        """The filter and what it found, for notes and metrics."""
        return self.name if rule.label == self.name else f"{self.name}.{rule.label}"


@dataclass(frozen=True, slots=True)
class JudgeFilter(Filter):
    """Judges a text as a whole."""

    judge: Judge
