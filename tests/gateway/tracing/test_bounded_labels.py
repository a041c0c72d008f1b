from __future__ import annotations

from enginehouse.gateway.tracing.bounded import OTHER, BoundedLabels
from hypothesis import given
from hypothesis import strategies as st


def test_the_first_names_keep_their_label_and_later_ones_share_one() -> None:
    labels = BoundedLabels(2)
    asked = ["a", "b", "c", "a", "d", "b"]
    assert [labels.label(name) for name in asked] == ["a", "b", OTHER, "a", OTHER, "b"]


def test_configured_names_have_their_label_whoever_comes_first() -> None:
    labels = BoundedLabels(2, ["known"])
    assert [labels.label(name) for name in ("x", "y", "known")] == ["x", OTHER, "known"]


@given(st.lists(st.text()), st.integers(0, 5))
def test_there_are_never_more_labels_than_allowed(names: list[str], most: int) -> None:
    labels = BoundedLabels(most)
    given_out = {labels.label(name) for name in names}
    assert len(given_out - {OTHER}) <= most
    assert all(len(label) <= 64 for label in given_out)
