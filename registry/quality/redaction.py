"""Personal data and secrets out of a text before it is kept.

A net, not a proof: names, addresses and whatever has no form of its own go through. It errs on
the side of taking too much. Every repetition is bounded, since a pattern that goes back and forth
over a long text would hold up the whole process.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

#: Of a text that is kept; longer ones are cut.
KEPT_CHARACTERS = 8000
_EDGE_CHARACTERS = 200

PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
#: user:password@ of a URL
CREDENTIALS = re.compile(r"(?<=://)[^\s/:@]{1,256}:[^\s/@]{1,256}(?=@)")
JSON_WEB_TOKEN = re.compile(r"\beyJ[\w-]{5,500}\.[\w-]{5,5000}(?:\.[\w-]{0,2000})?")
#: keys with the prefixes of their issuers
ISSUED_KEY = re.compile(
    r"\b(?:sk|pk|rk|ghp|gho|ghu|ghs|ghr|github_pat|glpat|xox[abprs]|hf|npm|pypi|AKIA|ASIA"
    r"|AIza|dapi)[-_]?[A-Za-z0-9_-]{12,}"
)
#: what follows a word that announces a secret
ANNOUNCED_SECRET = re.compile(
    r"(?i)(?<=\bbearer )[\w.~+/=-]{8,}"
    r"|(?<=password[:=])\s*\S+|(?<=password is )\S+|(?<=passwd[:=])\s*\S+"
    r"|(?<=secret[:=])\s*\S+|(?<=api_key[:=])\s*\S+|(?<=api-key[:=])\s*\S+"
    r"|(?<=apikey[:=])\s*\S+|(?<=token[:=])\s*\S+"
)
EMAIL = re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
#: long runs of letters and digits mixed: hashes, keys, session ids
MIXED_RUN = re.compile(r"\b(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9_]{28,}\b")
#: country, check digits, groups
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")
#: +49 170 1234567, (030) 123-4567, 555-123-4567
PHONE = re.compile(
    # A first character from a set is searched faster than what looks back first.
    r"[+(\d](?<![\w.].)(?:"
    r"(?<=\+)\d{1,3}[\s./-]?(?:\(?\d{1,5}\)?[\s./-]?){2,6}\d\b"
    r"|(?<=\()\d{2,5}\)[\s./-]?\d{2,5}(?:[\s./-]\d{2,5}){0,3}\b"
    r"|(?<=\d)\d{2}[\s.-]\d{3}[\s.-]\d{4}\b"
    r"|(?<=0)\d{2,4}[\s/-]\d{3,9}\b)"
)
#: cards, accounts: nine digits and more, also in groups
LONG_NUMBER = re.compile(r"(?<![\w.])\d(?:[ -]?\d){8,}\b")

# The order matters: a token may hold a run of digits, and an address in a URL an e-mail address.
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
    """The text with e-mail addresses, telephone and other long numbers, keys and tokens replaced.

    Redacting twice changes nothing.
    """
    for placeholder, pattern in _RULES:
        text = pattern.sub(placeholder, text)
    return text


def redacted_beginning(text: str) -> str:
    """As much of a text as is worth keeping, redacted.

    What stands at the cut may be half of an address or a key, which no pattern knows any more, so
    the last words before it go too.
    """
    if len(text) <= KEPT_CHARACTERS:
        return redact(text)
    whole = redact(text[: 2 * KEPT_CHARACTERS])[:-_EDGE_CHARACTERS]
    return f"{whole.rpartition(' ')[0][:KEPT_CHARACTERS]}…"


def redact_messages(messages: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Messages with the beginning of every content, redacted."""
    return [
        {key: redacted_beginning(value) for key, value in message.items()} for message in messages
    ]
