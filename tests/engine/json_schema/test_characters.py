"""Character classes in the real compiler: exactly their characters."""

from __future__ import annotations

import pytest
from enginehouse.engine.json_schema.charset import ANY, CharSet
from enginehouse.engine.json_schema.grammar import class_text
from hypothesis import given
from hypothesis import strategies as st

from tests.engine.json_schema.judge import Judge

_EDGES = (0, 0x7F, 0x80, 0x7FF, 0x800, 0xFFF, 0x1000, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x3FFFF,
          0x40000, 0xFFFFF, 0x100000, 0x10FFFF)  # fmt: skip
_points = st.one_of(
    st.integers(0, 0x10FFFF),
    st.sampled_from(_EDGES).flatmap(lambda e: st.integers(max(e - 2, 0), min(e + 2, 0x10FFFF))),
).filter(lambda point: not 0xD800 <= point <= 0xDFFF)


@given(st.lists(st.tuples(_points, _points), min_size=1, max_size=3), st.lists(_points, min_size=1))
def test_a_class_admits_exactly_its_characters(
    ranges: list[tuple[int, int]], points: list[int]
) -> None:
    chars = CharSet.of(*((min(pair), max(pair)) for pair in ranges)) & ANY
    judge = Judge(f"root ::= {class_text(chars)}")
    edges = [point for pair in chars.ranges for point in pair]
    for point in (*points, *edges):
        assert judge.admits(chr(point)) == (chr(point) in chars), hex(point)


@pytest.mark.parametrize("last", [0xD7FF, 0xD500, 0xE123, 0x2FFFF, 0x10FFFF])
def test_no_leading_byte_is_a_dead_end(last: int) -> None:
    judge = Judge(f"root ::= {class_text(CharSet.of((0x21, last)) & ANY)}")
    judge.start()
    for byte in judge.allowed():
        judge.start()
        judge.take(byte)
        assert judge.allowed(), hex(byte)
