from __future__ import annotations

import re
from itertools import pairwise

import pytest
import regex
from enginehouse.gateway.content.kinds import Kind, rules_of
from enginehouse.gateway.content.partial import opening
from enginehouse.gateway.content.scanner import Scanner, ScanRule, Segment, rule, scan
from hypothesis import given
from hypothesis import strategies as st

KINDS: tuple[Kind, ...] = (
    "email", "phone", "iban", "card", "ip", "ssn", "secret", "announced_secret", "mixed_run",
)  # fmt: skip
PII = rules_of(frozenset(KINDS))
PATTERNS = [
    r"a+b?",
    r"ab(?:cd*a)?",
    r"\bab\b",
    r"(?<!a)b{2,4}c",
    r"(?<=c)a*b",
    r"(?=ab)a.",
    r"a(?!b)",
    r"ab$",
    r"(?m)^a.*$",
    r"(?s)ab.*?(?:c|\Z)",
    r"(?i:A)b|bc",
    r"[^a]{3}c",
    r"(?:ab|a)(?:c|bc)",
    r"(?>a+)b",
    r"a*+c",
    r"(?:a(?:b(?:c)?)?){2,3}d",
    r"\Bc",
    r"a.{20}b",
    r"(?:ab)+$",
    r"(a)\1b?",
    r"(?P<x>a+)b(?P=x)",
    r"(a)?b(?(1)c|d)",
    r"a \bb",
    r"a(?!\b)",
    r"ab(?!$)c?",
    r"ab\Z",
    r"(?m)a$\n?b?",
    r"(?x) a [ ] b?  # up to here",
    r"[]a]b|\$a",
]
ABC = st.text(alphabet="abcd A\n", max_size=60)
FRAGMENTS = st.sampled_from(
    [
        "ann@example.org", "+49 170 1234567", "DE89 3704 0044 0532 0130 00", "4111 1111 1111 1111",
        "192.168.0.1", "2001:db8::1", "078-05-1120", "sk-proj-abcdEFGH1234567890", "password: x",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE", "-----END RSA PRIVATE KEY-----", "https://u:p@h/",
        " ", ".", "12", "a", "@", "x" * 70, "\n", "word", ":", "+", "-", "7" * 40, "é",
    ]
)  # fmt: skip
TEXTS = st.lists(FRAGMENTS, max_size=14).map("".join)


ATOMS = st.sampled_from(
    [
        "a",
        "b",
        "ab",
        "[ab]",
        "[^a]",
        ".",
        r"\w",
        r"\b",
        r"\B",
        "^",
        "$",
        r"\Z",
        r"\n",
        " ",
        "(?i:a)",
    ]
)
EXPRESSIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"(?:{two[0]}|{two[1]})"),
        st.tuples(inner, st.sampled_from(["?", "{0,2}", "{2}", "{1,2}?"])).map(
            lambda two: f"(?:{two[0]}){two[1]}"
        ),
        inner.map(lambda one: f"(?={one})"),
        inner.map(lambda one: f"(?!{one})"),
    ),
    max_leaves=8,
).filter(lambda written: re.match(written, "") is None)


def written(segments: list[Segment]) -> str:
    return "".join("#" if segment.rule else segment.text for segment in segments)


def cut(text: str, places: list[int]) -> list[str]:
    edges = sorted({place % (len(text) + 1) for place in places} | {0, len(text)})
    return [text[a:b] for a, b in pairwise(edges)]


def streamed(rules: tuple[ScanRule, ...], pieces: list[str], hold_back: int) -> list[str]:
    scanner = Scanner(rules, hold_back)
    return [written(scanner.push(piece)) for piece in pieces] + [written(scanner.finish())]


@pytest.mark.parametrize("pattern", PATTERNS)
@given(text=ABC, places=st.lists(st.integers(0, 100), max_size=12))
def test_a_text_in_pieces_is_redacted_as_the_whole(
    pattern: str, text: str, places: list[int]
) -> None:
    _finds_in_pieces_what_re_finds_in_the_whole(pattern, text, places)


def _finds_in_pieces_what_re_finds_in_the_whole(pattern: str, text: str, places: list[int]) -> None:
    rules = (rule("x", re.compile(pattern)),)
    whole = written(scan(rules, text, 256))
    assert whole == re.sub(pattern, _mark, text)
    assert "".join(streamed(rules, cut(text, places), 256)) == whole


def _mark(match: re.Match[str]) -> str:
    return "#" if match[0] else ""


@pytest.mark.parametrize("pattern", PATTERNS)
@given(text=ABC, places=st.lists(st.integers(0, 100), max_size=12))
def test_the_bound_on_what_is_held_back_does_not_depend_on_the_pieces(
    pattern: str, text: str, places: list[int]
) -> None:
    rules = (rule("x", re.compile(pattern)),)
    whole = written(scan(rules, text, 5))
    assert "".join(streamed(rules, cut(text, places), 5)) == whole


@given(text=TEXTS, places=st.lists(st.integers(0, 1000), max_size=20))
def test_personal_data_in_pieces_is_redacted_as_the_whole(text: str, places: list[int]) -> None:
    whole = written(scan(PII, text, 256))
    assert "".join(streamed(PII, cut(text, places), 256)) == whole


@given(text=TEXTS, places=st.lists(st.integers(0, 1000), max_size=20))
def test_nothing_shown_has_to_be_taken_back(text: str, places: list[int]) -> None:
    whole = written(scan(PII, text, 64))
    shown = ""
    for part in streamed(PII, cut(text, places), 64):
        shown += part
        assert whole.startswith(shown)
    assert shown == whole


@given(text=TEXTS, places=st.lists(st.integers(0, 1000), max_size=20))
def test_segments_are_the_text_without_gaps(text: str, places: list[int]) -> None:
    scanner = Scanner(PII, 256)
    segments = [s for piece in cut(text, places) for s in scanner.push(piece)] + scanner.finish()
    assert "".join(segment.text for segment in segments) == text


def test_a_secret_is_never_shown_character_by_character() -> None:
    secret = "ann.o@mail.example.org"
    scanner, shown = Scanner(PII, 256), ""
    for char in f"write to {secret}, please":
        shown += written(scanner.push(char))
        assert "ann" not in shown
        assert "example" not in shown
    assert shown + written(scanner.finish()) == "write to #, please"


def test_what_cannot_become_a_match_is_shown_at_once() -> None:
    scanner = Scanner((rule("x", re.compile("secret word")),), 256)
    assert written(scanner.push("an open text")) == "an open text"
    assert written(scanner.push(" with a sec")) == " with a "
    assert written(scanner.push("ond")) == "second"


def test_no_more_is_held_back_than_the_bound_unless_it_is_a_match() -> None:
    scanner = Scanner((rule("x", re.compile(r"<[a-z ]*>")),), 32)
    assert not written(scanner.push("<" + "a" * 31))
    assert written(scanner.push("a")) == "<" + "a" * 32
    assert written(scanner.finish(">")) == ">"


def test_a_match_longer_than_the_bound_is_taken_out_whole() -> None:
    scanner = Scanner((rule("x", re.compile(r"\bkey[a-z]{5,}")),), 32)
    shown = "".join(written(scanner.push(char)) for char in "a key" + "b" * 5000 + " end")
    assert shown + written(scanner.finish()) == "a # end"


def test_of_two_overlapping_matches_the_first_counts() -> None:
    rules = (rule("late", re.compile("bcd")), rule("early", re.compile("abc")))
    assert [s.rule.label for s in scan(rules, "abcd bcd", 256) if s.rule] == ["early", "late"]


def test_a_checked_match_may_be_shorter_and_a_refused_one_hides_no_other() -> None:
    rules = (rule("x", re.compile(r"[0-9]{4}"), lambda text: 2 * (text[0] == "7")),)
    assert written(scan(rules, "1712 1234", 256)) == "1712 1234"
    assert written(scan(rules, "7123 17123", 256)) == "#23 1#23"


@given(pattern=EXPRESSIONS, text=ABC, places=st.lists(st.integers(0, 100), max_size=12))
def test_any_expression_finds_in_pieces_what_it_finds_in_the_whole(
    pattern: str, text: str, places: list[int]
) -> None:
    _finds_in_pieces_what_re_finds_in_the_whole(pattern, text, places)


@pytest.mark.parametrize("pattern", [r"\b", r"\B", "(?=b)", "(?<=b)"])
def test_a_match_of_no_characters_is_none(pattern: str) -> None:
    assert written(scan((rule("x", re.compile(pattern)),), "b ab", 256)) == "b ab"


@pytest.mark.parametrize("pattern", ["a(?R)?b", "a(?0)?b", "\ud800"])
def test_what_cannot_be_followed_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be followed|in no text"):
        opening(regex.compile(pattern))


def test_a_text_that_takes_an_expression_too_long_is_found_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("enginehouse.gateway.content.scanner.SEARCH_S", 0.05)
    rules = (rule("slow", re.compile(r"x(?:.*?a){12}[ce]"), bounded=True),)
    assert written(scan(rules, "b x" + "a" * 80, 256)) == "#"
    scanner = Scanner(rules, 256)
    shown = [written(scanner.push(chunk)) for chunk in ("b", "x" + "a" * 80, "b", " b")]
    assert shown == ["b", "#", "b", " b"]


@pytest.mark.parametrize(
    "text", ["a", "1", "a.", "a@", "a1_", "+1 ", "3704 ", "://a:", "eyJaaaaaa.", "1:", "1.", "Aa1 "]
)
def test_hostile_text_takes_no_quadratic_time(text: str) -> None:
    # A pattern that goes back and forth would take minutes, and the suite's timeout would end it.
    scan(PII, text * (100_000 // len(text)), 256)
    scanner = Scanner(PII, 256)
    for _ in range(3000):
        scanner.push(text)
    scanner.finish()
