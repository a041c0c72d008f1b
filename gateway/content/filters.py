"""What a filter is once it is ready for use."""

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

#: (rule's label, what was found, this request's numbers) → what stands there instead.
Replace = Callable[[str, str, PlaceholderNumbers], str]


class Judge(Protocol):
    """Says of a whole text whether it is flagged."""

    async def judge(self, text: str, side: ContentSide) -> JudgeVerdict:
        """A verdict; a judge that cannot be asked says so in it and raises nothing."""
        ...


@dataclass(frozen=True, slots=True)
class Filter:
    """What all filters have."""

    name: str
    action: Action
    config: FilterConfig

    def applies(self, call: Call) -> bool:
        """Whether it is meant for this caller and this model."""
        return self._for_model(call.model) and self._for_tenant(call)

    def _for_model(self, model: str) -> bool:
        models = self.config.models
        return models is None or model in models or ModelName.parse(model).model in models

    def _for_tenant(self, call: Call) -> bool:
        tenants = self.config.tenants
        return tenants is None or (tenant_of(call) or call.caller.tenant) in tenants


@dataclass(frozen=True, slots=True)
class SpanFilter(Filter):
    """Finds places in a text.

    Attributes:
        replace: used where the action is ``redact``.
        restores: whether the answer gets the prompt's values back.
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
