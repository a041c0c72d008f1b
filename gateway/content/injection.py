"""Filter `injection`: heuristics for texts that try to override the model's instructions.

Each feature of a text has a weight. The score is 1 - Π(1 - weight), so that one strong feature is
enough and weak ones add up. The heuristics miss paraphrases and flag people who write about the
subject; docs/content.md lists them and their limits.
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass

from enginehouse.gateway.content.config import InjectionConfig
from enginehouse.gateway.content.filters import JudgeFilter
from enginehouse.gateway.content.verdicts import Action, ContentSide, JudgeVerdict

_ORDERS = r"(?:instructions?|prompts?|rules?|directions?|guidelines?|commands?|context|orders?)"
_BEFORE = r"(?:previous|prior|above|earlier|preceding|former|original|system|foregoing)"

#: Feature → (weight, pattern). Patterns are applied to lower-case text without invisible
#: characters.
FEATURES: dict[str, tuple[float, re.Pattern[str]]] = {
    "override": (
        0.8,
        re.compile(
            r"\b(?:ignore|disregard|forget|bypass|override|skip)\b[^.!?\n]{0,30}?"
            rf"\b(?:{_BEFORE}|all (?:of )?(?:the|your|my)|your)\b[^.!?\n]{{0,30}}?\b{_ORDERS}\b"
            r"|\bforget (?:everything|all)\b[^.!?\n]{0,20}\b(?:above|before|told|said)\b"
            # German, French, Spanish
            r"|\b(?:ignoriere|vergiss|missachte)\b[^.!?\n]{0,40}\b(?:anweisung|regel|befehl)"
            r"|\b(?:ignore[zr]?|oublie[zr]?)\b[^.!?\n]{0,40}\b(?:instructions|consignes|règles)"
            r"|\b(?:ignora|olvida)\b[^.!?\n]{0,40}\b(?:instrucciones|reglas|órdenes)"
        ),
    ),
    "reveal_prompt": (
        0.7,
        re.compile(
            r"\b(?:reveal|print|show|repeat|output|display|tell me|give me|leak|dump"
            r"|what (?:is|are))\b[^.!?\n]{0,40}?\b(?:your|the) (?:\w+ ){0,2}?"
            r"(?:system prompt|system message|initial prompt|hidden prompt|initial instructions"
            r"|hidden instructions|instructions (?:above|verbatim))"
            r"|\brepeat (?:everything|all|the (?:words|text)) (?:above|before)\b"
        ),
    ),
    "jailbreak": (
        0.75,
        re.compile(
            r"\bdo anything now\b|\bdan mode\b|\byou are (?:now )?dan\b|\bdeveloper mode enabled\b"
            r"|\bjailbr(?:eak|oken)\b[^.!?\n]{0,20}\bmode\b"
            r"|\bwithout (?:any )?(?:ethical|moral|safety)"
            r" (?:restrictions?|guidelines?|filters?|limits?)\b"
        ),
    ),
    "forged_turn": (
        0.7,
        re.compile(
            r"<\|(?:im_start|im_end|system|user|assistant|start_header_id|eot_id)\|>"
            r"|\[/?inst\]|<</?sys>>|</?(?:system|assistant)>"
            r"|^\s{0,3}#{2,4}\s?(?:system|new instructions?|assistant)\b\s?:?"
            r"|^\s{0,3}(?:system|assistant)\s?(?:prompt|message)?\s?:\s?you ",
            re.MULTILINE,
        ),
    ),
    "secrecy": (
        0.5,
        re.compile(
            r"\b(?:do not|don't|never|without) (?:tell|telling|inform|informing|mention|mentioning"
            r"|reveal|alert)\b[^.!?\n]{0,20}\b(?:the )?(?:user|human|anyone|anybody)\b"
        ),
    ),
    "new_role": (
        0.35,
        re.compile(
            r"\b(?:you are now|from now on,? you|pretend (?:to be|you are|that you)"
            r"|act as (?:if you|an? (?:unrestricted|unfiltered|evil))|new instructions?:)"
        ),
    ),
    "sends_away": (
        0.5,
        re.compile(
            r"!\[[^\]\n]{0,80}\]\(https?://[^)\s]{1,300}[?&][^)\s=]{1,40}="
            r"|\b(?:send|post|forward|upload|exfiltrate)\b[^.!?\n]{0,40}"
            r"\b(?:conversation|chat history|api keys?|passwords?|credentials|secrets?)\b"
            r"[^.!?\n]{0,40}\b(?:to|at)\b"
        ),
    ),
    "encoded_orders": (
        0.5,
        re.compile(
            r"\b(?:decode|base64|rot13|unscramble)\b[^\n]{0,60}\b(?:follow|execute|obey|do what)\b"
            r"|\b(?:follow|execute|obey)\b[^\n]{0,60}\b(?:decoded|base64|rot13)\b"
        ),
    ),
}
#: Characters that readers do not see and models read.
_INVISIBLE = re.compile("[\u200b-\u200f\u2060-\u2064\ufeff\U000e0000-\U000e007f]")
_INVISIBLE_WEIGHT = 0.3
_FEW_INVISIBLE = 4


def injection_filter(config: InjectionConfig) -> JudgeFilter:
    """Create the filter."""
    judge = InjectionJudge(config.threshold)
    return JudgeFilter(config.name or config.type, Action(config.action), config, judge)


@dataclass(frozen=True, slots=True)
class InjectionJudge:
    """Flags texts with a score at or above the threshold."""

    threshold: float

    async def judge(self, text: str, side: ContentSide) -> JudgeVerdict:  # noqa: ARG002 - a judge's signature
        """See `Judge`."""
        found = features(text)
        return JudgeVerdict(score(found) >= self.threshold, tuple(found) if found else ())


def features(text: str) -> dict[str, float]:
    """Features found in a text → their weights."""
    invisible = len(_INVISIBLE.findall(text))
    plain = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).lower()
    found = {name: weight for name, (weight, form) in FEATURES.items() if form.search(plain)}
    # A few of them join emoji, or letters of some scripts.
    if invisible > _FEW_INVISIBLE:
        found["invisible_text"] = _INVISIBLE_WEIGHT
    return found


def score(found: dict[str, float]) -> float:
    """The score of all features, from 0 to 1."""
    return 1.0 - math.prod(1.0 - weight for weight in found.values())
