"""Patterns that enforce `format`. Each pattern matches valid values only, but not all of them.

The standards are those that JSON Schema names (Validation 2020-12, section 7.3): RFC 3339 for dates
and times, RFC 5321 and 1123 for mail addresses and host names, RFC 4291 and 3986 for IP addresses
and URIs, RFC 6901 for pointers. Formats that no pattern can enforce are refused. Names outside of
the standard (`int32`, `password`) are annotations without effect.
"""

from __future__ import annotations

#: Formats of the standard that have no pattern here.
UNSUPPORTED = frozenset(
    {"idn-email", "idn-hostname", "iri", "iri-reference", "uri-template", "regex"}
)

_YEAR = r"[0-9]{4}"
_LEAP = r"([0-9]{2}(0[48]|[2468][048]|[13579][26])|(0[048]|[2468][048]|[13579][26])00)"
_DATE = (
    rf"({_YEAR}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    rf"|02-(0[1-9]|1[0-9]|2[0-8]))|{_LEAP}-02-29)"
)
# A leap second is possible only at the end of a day in UTC; other spellings of it are left out.
_OFFSET = r"([zZ]|[+\-]([01][0-9]|2[0-3]):[0-5][0-9])"
_CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,18})?"
_TIME = rf"({_CLOCK}{_OFFSET}|23:59:60(\.[0-9]{{1,18}})?([zZ]|[+\-]00:00))"
_DAYS = r"[0-9]{1,9}D"
_HOURS = r"([0-9]{1,9}H([0-9]{1,9}M([0-9]{1,9}S)?)?|[0-9]{1,9}M([0-9]{1,9}S)?|[0-9]{1,9}S)"
_MONTHS = rf"([0-9]{{1,9}}Y([0-9]{{1,9}}M({_DAYS})?)?|[0-9]{{1,9}}M({_DAYS})?|{_DAYS})"
_OCTET = r"(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = rf"{_OCTET}(\.{_OCTET}){{3}}"
_H16 = r"[0-9a-fA-F]{1,4}"
_LS32 = rf"({_H16}:{_H16}|{_IPV4})"
_IPV6 = "(" + "|".join(
    [
        rf"({_H16}:){{6}}{_LS32}",
        rf"::({_H16}:){{5}}{_LS32}",
        rf"({_H16})?::({_H16}:){{4}}{_LS32}",
        rf"(({_H16}:){{0,1}}{_H16})?::({_H16}:){{3}}{_LS32}",
        rf"(({_H16}:){{0,2}}{_H16})?::({_H16}:){{2}}{_LS32}",
        rf"(({_H16}:){{0,3}}{_H16})?::{_H16}:{_LS32}",
        rf"(({_H16}:){{0,4}}{_H16})?::{_LS32}",
        rf"(({_H16}:){{0,5}}{_H16})?::{_H16}",
        rf"(({_H16}:){{0,6}}{_H16})?::",
    ]
) + ")"  # fmt: skip
# Up to four labels of letters, digits and single hyphens, at most 61 characters each, 247 in total.
# Labels with two hyphens in a row, such as those of IDNA ("xn--"), are left out.
_LABEL = r"[a-zA-Z0-9](-?[a-zA-Z0-9]){0,30}"
_HOST = rf"{_LABEL}(\.{_LABEL}){{0,3}}"
_ATEXT = r"[a-zA-Z0-9!#$%&'*+/=?^_`{|}~\-]"
# At most 64 characters before the "@"; quoted names and addresses in brackets are left out.
_EMAIL = rf"{_ATEXT}{{1,20}}(\.{_ATEXT}{{1,20}}){{0,2}}@{_HOST}"
_PCHAR = r"([a-zA-Z0-9\-._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})"
_SEGMENTS = rf"(/{_PCHAR}*)*"
_QUERY = rf"(\?({_PCHAR}|[/?])*)?(#({_PCHAR}|[/?])*)?"
_USER = r"(([a-zA-Z0-9\-._~!$&'()*+,;=:]|%[0-9a-fA-F]{2})*@)?"
_NAME = r"([a-zA-Z0-9\-._~!$&'()*+,;=]|%[0-9a-fA-F]{2})*"
_AUTHORITY = rf"//{_USER}({_NAME}|\[{_IPV6}\])(:[0-9]{{0,5}})?"
_HIERARCHY = rf"({_AUTHORITY}{_SEGMENTS}|/({_PCHAR}+{_SEGMENTS})?|{_PCHAR}+{_SEGMENTS}|)"
_URI = rf"[a-zA-Z][a-zA-Z0-9+.\-]*:{_HIERARCHY}{_QUERY}"
_NOCOLON = r"([a-zA-Z0-9\-._~!$&'()*+,;=@]|%[0-9a-fA-F]{2})"
_RELATIVE = rf"({_AUTHORITY}{_SEGMENTS}|/({_PCHAR}+{_SEGMENTS})?|{_NOCOLON}+{_SEGMENTS}|){_QUERY}"
_POINTER = r"(/([^/~]|~[01])*)*"

_PATTERNS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": rf"{_DATE}[tT]{_TIME}",
    "duration": rf"P({_MONTHS}(T{_HOURS})?|T{_HOURS}|[0-9]{{1,9}}W)",
    "email": _EMAIL,
    "hostname": _HOST,
    "ipv4": _IPV4,
    "ipv6": _IPV6,
    "uri": _URI,
    "uri-reference": rf"({_URI}|{_RELATIVE})",
    "uuid": r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    "json-pointer": _POINTER,
    "relative-json-pointer": rf"(0|[1-9][0-9]{{0,9}})(#|{_POINTER})",
}


def format_pattern(name: str) -> str | None:
    """The anchored pattern of a format; None for a name without effect."""
    pattern = _PATTERNS.get(name)
    return None if pattern is None else f"^({pattern})$"
