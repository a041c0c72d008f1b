"""Random schemas of the kept subset, against the package `jsonschema`."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import jsonschema
from enginehouse.engine.json_schema import SchemaRefusedError, regex_grammar, schema_grammar
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.engine.json_schema.judge import Judge

#: 150 in `make test-all`, a third of the profile's number everywhere: each is a grammar compiled.
_SETTINGS = settings(
    max_examples=settings().max_examples // 3,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
_LONGEST_WALK = 300
_NAMES = st.sampled_from(["a", "b", "ab", 'q"', "back\\slash", "line\nend", "é"])
_PATTERNS = st.sampled_from(
    ["a", "^a", "b$", "^a|b$", "^[ab]+$", "^(a|b){2,3}$", "^a.*b$", "x|^$", '^["\\\\]*$', "^.$",
     "^[^a]*$", r"^\S+$", "^a{2,}$", "(a|b)b"]
)  # fmt: skip
_NUMBERS = st.one_of(
    st.integers(-200, 200), st.integers(-2000, 2000).map(lambda n: n / 10), st.just(0.25)
)
_TEXTS = st.text('ab"\\\né\U0001f600', max_size=4)
_BOUNDS = st.integers(0, 3)
_STRUCTURAL = frozenset(b'"]},:')


def _some(**keywords: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A schema with some of these keywords."""
    return st.fixed_dictionaries({}, optional=keywords)


_values = st.recursive(
    st.one_of(st.none(), st.booleans(), _NUMBERS, _TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(_NAMES, _TEXTS), inner, max_size=3)
    ),
    max_leaves=5,
)
_TYPES = st.sampled_from(
    ["null", "boolean", "integer", "number", "string", "array", "object", ["string", "null"],
     ["integer", "array"], ["object", "number"]]
)  # fmt: skip
_simple = _some(
    type=_TYPES,
    enum=st.lists(_values, min_size=1, max_size=3),
    minimum=_NUMBERS,
    maximum=_NUMBERS,
    exclusiveMinimum=_NUMBERS,
    exclusiveMaximum=_NUMBERS,
    multipleOf=st.integers(1, 7),
    minLength=_BOUNDS,
    maxLength=st.integers(0, 40),
    pattern=_PATTERNS,
)


def _composed(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    several = st.lists(inner, min_size=1, max_size=2)
    members = st.dictionaries(_NAMES, inner, max_size=3)
    return st.one_of(
        _some(
            type=st.just("object"),
            properties=members,
            required=st.lists(_NAMES, max_size=2, unique=True),
            additionalProperties=inner,
            patternProperties=st.dictionaries(_PATTERNS, inner, max_size=2),
            propertyNames=_some(pattern=_PATTERNS, maxLength=_BOUNDS),
            minProperties=_BOUNDS,
            maxProperties=_BOUNDS,
            dependentRequired=st.dictionaries(_NAMES, st.lists(_NAMES, max_size=1), max_size=1),
            anyOf=several,
        ),
        _some(
            type=st.just("array"),
            prefixItems=several,
            items=inner,
            contains=inner,
            minContains=_BOUNDS,
            maxContains=_BOUNDS,
            minItems=_BOUNDS,
            maxItems=_BOUNDS,
            unevaluatedItems=inner,
        ),
        _some(
            anyOf=several,
            oneOf=several,
            allOf=several,
            type=_TYPES,
            pattern=_PATTERNS,
            maximum=_NUMBERS,
            properties=members,
            **{"not": inner, "if": inner, "then": inner, "else": inner},
        ),
    )


_schemas = st.recursive(st.one_of(st.booleans(), _simple), _composed, max_leaves=6)


def _validator(schema: Any) -> jsonschema.Draft202012Validator:
    """Python's `$` also matches before a line break at the end; ECMA-262's does not."""
    return jsonschema.Draft202012Validator(_anchored(schema))


def _anchored(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_anchored(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {}
    for key, value in schema.items():
        if key == "pattern" and isinstance(value, str):
            found[key] = value.replace("$", r"\Z")
        elif key == "patternProperties":
            found[key] = {k.replace("$", r"\Z"): _anchored(v) for k, v in value.items()}
        elif key in {"enum", "const"}:
            found[key] = value
        else:
            found[key] = _anchored(value)
    return found


def _judge(schema: Any) -> Judge:
    try:
        return Judge(schema_grammar(json.dumps(schema)))
    except SchemaRefusedError:
        assume(False)
        raise


def _walk(judge: Judge, chance: random.Random) -> str | None:
    """A text of the grammar, byte by byte; None if it does not end in time."""
    judge.start()
    text = bytearray()
    while len(text) < _LONGEST_WALK:
        allowed = judge.allowed()
        assert allowed, f"nothing may follow {text.decode(errors='replace')!r}"
        ends = 256 in allowed and (len(allowed) == 1 or chance.random() < 0.4)
        if ends:
            return text.decode()
        structural = [byte for byte in allowed if byte in _STRUCTURAL]
        pick = structural if structural and chance.random() < 0.5 else allowed
        byte = chance.choice([byte for byte in pick if byte != 256] or [32])
        judge.take(byte)
        text.append(byte)
    return None


@_SETTINGS
@given(_schemas, st.randoms(use_true_random=False))
def test_what_the_grammar_writes_is_valid(schema: Any, chance: random.Random) -> None:
    judge = _judge(schema)
    validator = _validator(schema)
    for _ in range(5):
        text = _walk(judge, chance)
        if text is not None:
            validator.validate(json.loads(text))


@_SETTINGS
@given(_schemas, st.lists(_values, min_size=1, max_size=6))
def test_the_grammar_admits_exactly_what_is_valid(schema: Any, values: list[Any]) -> None:
    judge = _judge(schema)
    validator = _validator(schema)
    for value in values:
        assert judge.admits_value(value) == validator.is_valid(value), value


@_SETTINGS
@given(
    st.from_regex(r"(\^?([ab.]|\[\^?[ab-d]\]|\(a\|bc?\)|\\d)[*+?]?){1,4}\$?", fullmatch=True),
    st.lists(st.text('abcd1\n"', max_size=5), min_size=1, max_size=10),
)
def test_a_regular_expression_admits_exactly_what_it_matches(
    pattern: str, texts: list[str]
) -> None:
    try:
        expected = re.compile(pattern.replace("$", r"\Z"))
        judge = Judge(regex_grammar(pattern))
    except (re.error, SchemaRefusedError):
        assume(False)
        raise
    for text in texts:
        assert judge.admits(text) == (expected.fullmatch(text) is not None)
