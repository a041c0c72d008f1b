"""Checks that tell a real number of a kind from text of the same form.

Each check takes a match and returns how many of its first characters are accepted; 0 rejects it.
"""

from __future__ import annotations

import ipaddress

_CARD_DIGITS = range(19, 12, -1)
_IBAN_REMAINDER = 1
_NINES = 900

#: Length of an IBAN → its countries.
_IBAN_LENGTHS = {
    length: countries.split()
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FI FK FO GL NL SD",
        19: "MK SI",
        20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU YE",
        31: "MT SC",
        32: "LC",
        33: "RU",
    }.items()
}
_LENGTH_OF = {country: size for size, names in _IBAN_LENGTHS.items() for country in names}


def card(text: str) -> int:
    """Length of the longest prefix of 13 to 19 digits, in whole groups, that passes Luhn."""
    ends = [at + 1 for at, char in enumerate(text) if char.isdecimal()]
    for count in _CARD_DIGITS:
        if count > len(ends):
            continue
        end = ends[count - 1]
        if text[end : end + 1].isdecimal():
            continue
        if _luhn([int(text[at - 1]) for at in ends[:count]]):
            return end
    return 0


def _luhn(digits: list[int]) -> bool:
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0 and any(digits)


def iban(text: str) -> int:
    """Length of the IBAN of the country at the start of the text, if its check digits are right."""
    length = _LENGTH_OF.get(text[:2], 0)
    places = [at for at, char in enumerate(text) if char != " "]
    if not length or len(places) < length:
        return 0
    end = places[length - 1] + 1
    if text[end : end + 1].isalnum():
        return 0
    number = text[:end].replace(" ", "")
    digits = "".join(str(int(char, 36)) for char in number[4:] + number[:4])
    return end if int(digits) % 97 == _IBAN_REMAINDER else 0


def ip(text: str) -> int:
    """IPv4 and IPv6 addresses. One without any digit, such as ``::``, is more likely code."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return 0
    return len(text) if any(char.isdigit() for char in text) else 0


def ssn(text: str) -> int:
    """Numbers that the US Social Security Administration may have issued."""
    area, group, serial = (int(part) for part in text.split("-"))
    given = area not in {0, 666} and area < _NINES and group and serial
    return len(text) if given else 0
