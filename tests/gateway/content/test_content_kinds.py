from __future__ import annotations

import pytest
from enginehouse.gateway.content.kinds import USUAL_KINDS, Kind, rules_of
from enginehouse.gateway.content.log_filter import redacted

RULES = rules_of(frozenset(USUAL_KINDS))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to ann@example.org.", "write to [EMAIL]."),
        ("call +49 170 1234567 now", "call [PHONE] now"),
        ("call 555-123-4567", "call [PHONE]"),
        ("pay DE89 3704 0044 0532 0130 00 NOW", "pay [IBAN] NOW"),
        ("pay BE68 5390 0754 7034 IS FINE", "pay [IBAN] IS FINE"),
        ("pay GB29NWBK60161331926819", "pay [IBAN]"),
        ("card 4111 1111 1111 1111 123 end", "card [CARD] 123 end"),
        ("12 4111-1111-1111-1111", "12 [CARD]"),
        ("amex 378282246310005", "amex [CARD]"),
        ("from 192.168.0.17 to 10.0.0.1:80", "from [IP] to [IP]:80"),
        ("at 2001:db8::8a2e:370:7334 or ::1", "at [IP] or [IP]"),
        ("ssn 078-05-1120", "ssn [SSN]"),
        ("key sk-proj-abcdEFGH1234567890", "key [SECRET]"),
        ("db postgres://ann:s3cret@db/x", "db postgres://[SECRET]@db/x"),
        ("-----BEGIN PRIVATE KEY-----\nMII", "[SECRET]"),
    ],
)
def test_each_kind_is_found(text: str, expected: str) -> None:
    assert redacted(RULES, text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "pay DE88370400440532013000",
        "order 4111 1111 1111 1112",
        "at 10:30:45 on 2024-06-01",
        "version 300.1.2.999",
        "x :: Int and std::vector",
        "part 000-12-3456 and 666-12-3456 and 912-12-3456",
        "pi is 3.14159265358979",
    ],
)
def test_what_fails_a_check_stays(text: str) -> None:
    assert redacted(RULES, text) == text


@pytest.mark.parametrize("kind", USUAL_KINDS)
def test_a_kind_that_is_off_is_not_looked_for(kind: Kind) -> None:
    text = (
        "ann@example.org +49 170 1234567 DE89370400440532013000 4111111111111111 10.0.0.1 "
        "078-05-1120 sk-proj-abcdEFGH1234567890"
    )
    others = rules_of(frozenset(USUAL_KINDS) - {kind})
    assert f"[{kind.upper()}]" in redacted(RULES, text)
    assert f"[{kind.upper()}]" not in redacted(others, text)
