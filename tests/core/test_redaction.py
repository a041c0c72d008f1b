from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enginehouse.text.redaction import (
    KEPT_CHARACTERS,
    redact,
    redact_messages,
    redacted_beginning,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to ann.o'neil+x@mail.example.co.uk now", "write to ann.o'[e-mail] now"),
        ("call +49 (0)170 123 4567 today", "call [phone] today"),
        ("call +1-555-123-4567", "call [phone]"),
        ("call (030) 123-4567.", "call [phone]."),
        ("my card 4111 1111 1111 1111 expires", "my card [number] expires"),
        ("IBAN DE89 3704 0044 0532 0130 00 please", "IBAN [number] please"),
        ("account 123456789012", "account [number]"),
        ("key sk-proj-abcdEFGH1234567890", "key [token]"),
        ("ghp_0123456789abcdefghijABCDEFGHIJ012345", "[token]"),
        ("AKIAIOSFODNN7EXAMPLE", "[token]"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abc_DEF-123", "[token]"),
        ("Authorization: Bearer abcdefgh12345678", "Authorization: Bearer [secret]"),
        ("password: hunter2 and more", "password:[secret] and more"),
        ("d41d8cd98f00b204e9800998ecf8427e", "[token]"),
        ("postgres://ann:s3cret@db/x", "postgres://[credentials]@db/x"),
    ],
)
def test_personal_data_and_secrets_become_placeholders(text: str, expected: str) -> None:
    assert redact(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "What is 2 + 2?",
        "In 2024, 1,234,567 people lived there; 3.14159265358979 is pi.",
        "Explain list[int] and x @ y in Python 3.11.",
        "Ask me at 10:30 on 2024-06-01.",
        "Internationalization and counterrevolutionaries are long words.",
    ],
)
def test_ordinary_text_stays(text: str) -> None:
    assert redact(text) == text


def test_private_keys_go_whole() -> None:
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----"
    assert redact(f"see {key} ok") == "see [private key] ok"
    assert redact(f"see {key[:40]}") == "see [private key]"


def test_every_message_is_redacted() -> None:
    found = redact_messages([{"role": "user", "content": "I am a@b.org"}])
    assert found == [{"role": "user", "content": "I am [e-mail]"}]


def test_a_long_text_is_cut_and_nothing_is_cut_in_half() -> None:
    address = "someone.with.a.long.name@mail.example.org "
    for shift in range(0, 40, 5):
        found = redacted_beginning("x" * shift + " " + address * 1000)
        assert 1000 < len(found) <= KEPT_CHARACTERS + 1
        assert found.endswith("…")
        assert "someone" not in found
        assert "example" not in found
    assert len(redacted_beginning("word " * 10_000)) == KEPT_CHARACTERS + 1
    assert redacted_beginning("short") == "short"


@pytest.mark.parametrize(
    "text", ["a", "1", "a.", "a@", "a1_", "+1 ", "3704 ", "://a:", "eyJaaaaaa.", "eyJ-", "bearer "]
)
def test_hostile_text_takes_no_quadratic_time(text: str) -> None:
    # Two hundred thousand characters: a pattern that goes back and forth would take minutes, and
    # the suite's timeout would end it.
    redact(text * (200_000 // len(text)))


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=80))
def test_redacting_twice_changes_nothing(text: str) -> None:
    once = redact(text)
    assert redact(once) == once
