"""Replaces personal data and secrets in text before it is stored.

Redaction by pattern is not complete: names, postal addresses and other free text are not detected.
It prefers false positives. Every repetition is bounded, because a pattern that backtracks over a
long text would block the process.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

#: Maximum length of a stored text; longer texts are cut.
KEPT_CHARACTERS = 8000
_EDGE_CHARACTERS = 200

PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
#: user:password@ in a URL
CREDENTIALS = re.compile(r"(?<=://)[^\s/:@]{1,256}:[^\s/@]{1,256}(?=@)")
JSON_WEB_TOKEN = re.compile(r"\beyJ[\w-]{5,500}\.[\w-]{5,5000}(?:\.[\w-]{0,2000})?")
#: keys with known issuers' prefixes
ISSUED_KEY = re.compile(
    r"\b(?:sk|pk|rk|ghp|gho|ghu|ghs|ghr|github_pat|glpat|xox[abprs]|hf|npm|pypi|AKIA|ASIA"
    r"|AIza|dapi)[-_]?[A-Za-z0-9_-]{12,}"
)
#: the text after a word that announces a secret
ANNOUNCED_SECRET = re.compile(
    r"(?i)(?<=\bbearer )[\w.~+/=-]{8,}"
    r"|(?<=password[:=])\s*\S+|(?<=password is )\S+|(?<=passwd[:=])\s*\S+"
    r"|(?<=secret[:=])\s*\S+|(?<=api_key[:=])\s*\S+|(?<=api-key[:=])\s*\S+"
    r"|(?<=apikey[:=])\s*\S+|(?<=token[:=])\s*\S+"
)
EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
#: long runs of mixed letters and digits: hashes, keys, session ids
MIXED_RUN = re.compile(r"\b(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9_]{28,}\b")
#: country, check digits, groups
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")
#: +49 170 1234567, (030) 123-4567, 555-123-4567
PHONE = re.compile(
    # Starting with a character set is faster than starting with a look-behind.
    r"[+(\d](?<![\w.].)(?:"
    r"(?<=\+)\d{1,3}[\s./-]?(?:\(?\d{1,5}\)?[\s./-]?){2,6}\d\b"
    r"|(?<=\()\d{2,5}\)[\s./-]?\d{2,5}(?:[\s./-]\d{2,5}){0,3}\b"
    r"|(?<=\d)\d{2}[\s.-]\d{3}[\s.-]\d{4}\b"
    r"|(?<=0)\d{2,4}[\s/-]\d{3,9}\b)"
)
#: cards and accounts: nine or more digits, also in groups
LONG_NUMBER = re.compile(r"(?<![\w.])\d(?:[ -]?\d){8,}\b")

# Order matters: a token may contain a run of digits, and a URL with credentials an e-mail address.
_RULES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("[private key]", PRIVATE_KEY),
    ("[credentials]", CREDENTIALS),
    ("[token]", JSON_WEB_TOKEN),
    ("[token]", ISSUED_KEY),
    ("[secret]", ANNOUNCED_SECRET),
    ("[e-mail]", EMAIL),
    ("[token]", MIXED_RUN),
    ("[number]", IBAN),
    ("[phone]", PHONE),
    ("[number]", LONG_NUMBER),
)


def redact(text: str) -> str:
    """Replace e-mail addresses, telephone and other long numbers, keys and tokens.

    Idempotent.
    """
    for placeholder, pattern in _RULES:
        text = pattern.sub(placeholder, text)
    return text


def redacted_beginning(text: str) -> str:
    """The first `KEPT_CHARACTERS` characters of a text, redacted.

    A cut may split an address or a key so that no pattern matches it, so the last words before the
    cut are removed.
    """
    if len(text) <= KEPT_CHARACTERS:
        return redact(text)
    whole = redact(text[: 2 * KEPT_CHARACTERS])[:-_EDGE_CHARACTERS]
    return f"{whole.rpartition(' ')[0][:KEPT_CHARACTERS]}…"


def redact_messages(messages: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Messages with each content cut and redacted."""
    return [
        {key: redacted_beginning(value) for key, value in message.items()} for message in messages
    ]
