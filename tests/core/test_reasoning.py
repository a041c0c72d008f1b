from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enginehouse.text import ChatTemplate
from enginehouse.text.reasoning import ReasoningSplitter, Said, Thought, splitter_of
from tests.default_model import default_tokenizer


def split(splitter: ReasoningSplitter, *pieces: str) -> tuple[str, str]:
    """Reasoning and answer."""
    parts = [part for piece in pieces for part in splitter.push(piece)] + splitter.finish()
    thought = "".join(part.text for part in parts if isinstance(part, Thought))
    return thought, "".join(part.text for part in parts if isinstance(part, Said))


@pytest.mark.parametrize(
    ("text", "opened", "thought", "said"),
    [
        ("<think>\nHm. \n</think>\n\nYes.", False, "Hm.", "Yes."),
        ("Hm.</think>Yes.", True, "Hm.", "Yes."),
        ("Yes.", False, "", "Yes."),
        (" \nYes <think>no</think>", False, "", " \nYes <think>no</think>"),
        ("<think></think>Yes.", False, "", "Yes."),
        ("<think>Hm </thi", False, "Hm </thi", ""),
        ("<thin", False, "", "<thin"),
        ("Hm", True, "Hm", ""),
    ],
)
def test_reasoning_stands_between_its_marks(
    text: str, thought: str, said: str, *, opened: bool
) -> None:
    assert split(ReasoningSplitter(opened=opened), text) == (thought, said)


_FRAGMENTS = st.sampled_from(["<think>", "</think>", "<th", "</", " ", "\n", "a", "é", "<", ">"])


@given(
    st.lists(_FRAGMENTS, max_size=10).map("".join),
    st.lists(st.integers(0, 6), max_size=30),
    st.booleans(),
)
def test_any_split_gives_the_same_as_the_whole(text: str, sizes: list[int], opened: bool) -> None:  # noqa: FBT001
    pieces, at = [], 0
    for size in sizes:
        pieces.append(text[at : at + size])
        at += size
    whole = split(ReasoningSplitter(opened=opened), text)
    assert split(ReasoningSplitter(opened=opened), *pieces, text[at:]) == whole


def test_reasoning_is_given_as_it_comes() -> None:
    splitter = ReasoningSplitter()
    assert splitter.push("<think>One, ") == [Thought("One,")]
    assert splitter.thinking
    assert splitter.push("two</think>\n") == [Thought(" two")]
    assert not splitter.thinking
    assert splitter.push("\nSo: ") == [Said("So: ")]


def _template(source: str) -> ChatTemplate:
    return ChatTemplate(source, default_tokenizer())


def test_the_template_says_whether_a_model_reasons() -> None:
    assert splitter_of(_template("{{ messages[0].content }}")) is None
    marks = splitter_of(_template("{{ messages[0].content.split('</think>')[-1] }}"))
    assert marks is not None
    assert not marks.thinking
    opens = splitter_of(_template("{{ messages[0].content }}<think>\n"))
    assert opens is not None
    assert opens.thinking
