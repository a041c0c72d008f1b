"""Kinds of personal data and secrets: what each looks like.

A net, not a proof: names, addresses and whatever has no form of its own go through.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Literal

from enginehouse.gateway.content import checks
from enginehouse.gateway.content.scanner import Check, ScanRule, rule
from enginehouse.registry.quality.redaction import (
    ANNOUNCED_SECRET,
    CREDENTIALS,
    EMAIL,
    IBAN,
    ISSUED_KEY,
    JSON_WEB_TOKEN,
    MIXED_RUN,
    PHONE,
    PRIVATE_KEY,
)

Kind = Literal[
    "email", "phone", "iban", "card", "ip", "ssn", "secret", "announced_secret", "mixed_run"
]
#: Those that take little else; `announced_secret` and `mixed_run` take words and digests too.
USUAL_KINDS: tuple[Kind, ...] = ("email", "phone", "iban", "card", "ip", "ssn", "secret")

# Each begins with what it is looked for by and looks back from there: that is searched faster.
_CARD = re.compile(r"\d(?<![\w.]\d)(?:[ -]?\d){12,18}(?!\d)")
_IPV4 = re.compile(r"\d(?<![\w.]\d)\d{0,2}\.(?:\d{1,3}\.){2}\d{1,3}(?!\w|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f.]{0,15}(?<!\.)(?![\w:])")
_SSN = re.compile(r"\d(?<![\w-]\d)\d{2}-\d{2}-\d{4}(?![\w-])", re.ASCII)

#: Where two begin at the same place, the first counts.
_FORMS: tuple[tuple[Kind, re.Pattern[str], Check | None], ...] = (
    ("secret", PRIVATE_KEY, None),
    ("secret", CREDENTIALS, None),
    ("secret", JSON_WEB_TOKEN, None),
    ("secret", ISSUED_KEY, None),
    ("announced_secret", ANNOUNCED_SECRET, None),
    ("email", EMAIL, None),
    ("iban", IBAN, checks.iban),
    ("card", _CARD, checks.card),
    ("ssn", _SSN, checks.ssn),
    ("ip", _IPV4, checks.ip),
    ("ip", _IPV6, checks.ip),
    ("phone", PHONE, None),
    ("mixed_run", MIXED_RUN, None),
)


@cache
def rules_of(kinds: frozenset[Kind]) -> tuple[ScanRule, ...]:
    """Rules that find these kinds; a rule's label is its kind."""
    return tuple(rule(kind, form, check) for kind, form, check in _FORMS if kind in kinds)
