"""Kinds of personal data and secrets, and the patterns that find them.

Detection is not complete: names, postal addresses and everything without a form of its own are not
found.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Literal

from enginehouse.gateway.content import checks
from enginehouse.gateway.content.scanner import Check, ScanRule, rule

from enginehouse.text.redaction import (
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
#: Kinds that rarely match anything else. `announced_secret` and `mixed_run` also match words and
#: digests.
USUAL_KINDS: tuple[Kind, ...] = ("email", "phone", "iban", "card", "ip", "ssn", "secret")

# Each pattern begins with its most selective part and looks back from there, which is faster.
_CARD = re.compile(r"\d(?<![\w.]\d)(?:[ -]?\d){12,18}(?!\d)")
_IPV4 = re.compile(r"\d(?<![\w.]\d)\d{0,2}\.(?:\d{1,3}\.){2}\d{1,3}(?!\w|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f.]{0,15}(?<!\.)(?![\w:])")
_SSN = re.compile(r"\d(?<![\w-]\d)\d{2}-\d{2}-\d{4}(?![\w-])", re.ASCII)

#: If two patterns match at the same place, the first one counts.
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
    """Rules that find these kinds; the label of a rule is its kind."""
    return tuple(rule(kind, form, check) for kind, form, check in _FORMS if kind in kinds)
