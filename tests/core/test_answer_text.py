"""Which tokens are listed with their log-probabilities, with what text, and where."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enginehouse.generation import FinishReason
from enginehouse.text import Tokenizer
from enginehouse.text.answer_text import AnswerText, TokenScore, token_texts
from tests.api.speaking import IM_END, Adapter, speaking
from tests.default_model import default_tokenizer

_TOKENIZER = default_tokenizer()
_TEXTS = ["Hi 😀👨‍👩‍👧‍👦🇫🇷 there", "東京タワーの高さ", "नमस्ते a\u0301", "plain words\nand more", ""]


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Adapter]:
    with speaking(tmp_path_factory.mktemp("adapter")) as running:
        yield running


def _told(
    ids: list[int], sizes: list[int], *, stop: tuple[str, ...] = (), hidden: int = 0
) -> tuple[str, list[tuple[int, TokenScore]]]:
    """The answer's text, and its tokens with their positions, from portions of these sizes."""
    text = AnswerText(
        _TOKENIZER, stop=stop, hidden=hidden, scored=True, end_ids=frozenset({IM_END})
    )
    shown, scores, at = "", [], 0
    while True:
        size = sizes.pop() if sizes else len(ids)
        portion, at = ids[at : at + size], at + size
        finish = FinishReason.STOP if at >= len(ids) else None
        written = text.push(portion, [-0.5] * len(portion), finish)
        shown += written.text
        scores += [(len(shown) - score.before_end, score) for score in written.scores]
        if written.finish is not None:
            return shown, scores


@given(
    st.lists(st.integers(0, 49151), max_size=30) | st.sampled_from(_TEXTS).map(_TOKENIZER.encode),
    st.lists(st.integers(1, 4), max_size=30),
    st.sampled_from([(), ("a",), (" the", "\n"), ("\ufffd",), ("er th",)]),
    st.sampled_from([0, 0, 3]),
)
def test_the_tokens_of_any_answer_are_its_text_piece_by_piece(
    ids: list[int], sizes: list[int], stop: tuple[str, ...], hidden: int
) -> None:
    ids = [*ids, IM_END]
    text, placed = _told(ids, list(sizes), stop=stop, hidden=hidden)
    offsets = [place for place, _ in placed] + [len(text)]
    assert [text[a:b] for a, b in pairwise(offsets)] == [score.text for _, score in placed]
    assert "".join(score.text for _, score in placed) == text
    # However the tokens come, the same are listed at the same places.
    whole_text, whole = _told(ids, [], stop=stop, hidden=hidden)
    assert text == whole_text
    assert [(place, score.text, score.utf8) for place, score in placed] == [
        (place, score.text, score.utf8) for place, score in whole
    ]


@pytest.mark.parametrize("text", _TEXTS)
def test_the_bytes_of_the_tokens_are_those_of_the_text(text: str) -> None:
    shown, placed = _told([*_TOKENIZER.encode(text), IM_END], [1, 1, 2])
    assert shown == text
    assert b"".join(bytes(score.utf8) for _, score in placed) == text.encode()


def test_a_character_of_several_tokens_is_the_last_ones() -> None:
    ids = _TOKENIZER.encode("😀")
    assert len(ids) > 1
    assert token_texts(_TOKENIZER, ids) == [*[""] * (len(ids) - 1), "😀"]
    assert token_texts(_TOKENIZER, ids[:-1])[-1] == "\ufffd"


def test_bytes_of_a_tokenizer_with_byte_fallback_are_read_from_its_tokens() -> None:
    vocabulary = {"<unk>": 0, "▁a": 1, "<0xC3>": 2, "<0xA9>": 3}
    definition = {
        "version": "1.0",
        "added_tokens": [{"id": 0, "content": "<unk>", "special": True, "single_word": False,
                          "lstrip": False, "rstrip": False, "normalized": False}],
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
        ]},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": [], "byte_fallback": True},
    }  # fmt: skip
    tokenizer = Tokenizer(json.dumps(definition))
    text = AnswerText(tokenizer, scored=True)
    written = text.push([1, 2, 3], [-0.1] * 3, FinishReason.LENGTH)
    assert written.text == " aé"
    assert [(s.text, bytes(s.utf8)) for s in written.scores] == [
        (" a", b" a"), ("", b"\xc3"), ("é", b"\xa9")
    ]  # fmt: skip


@pytest.mark.parametrize("echo", [False, True])
@pytest.mark.parametrize("stop", [None, "高", "wor"])
@pytest.mark.parametrize("prompt", ["Say é 😀:", _TOKENIZER.encode("Say é 😀:")])
def test_completions_list_the_same_tokens_streamed_and_whole(
    adapter: Adapter, prompt: Any, stop: str | None, *, echo: bool
) -> None:
    said = "Hello 😀 world 東京タワーの高さ"
    asked = {"prompt": prompt, "echo": echo, "stop": stop, "logprobs": 0, "max_tokens": 500}
    (whole,) = adapter.complete(said, **asked)["choices"]
    parts = [c["choices"][0] for c in adapter.complete(said, stream=True, **asked)]
    assert "".join(part["text"] for part in parts) == whole["text"]
    for name in ("tokens", "token_logprobs", "text_offset"):
        assert [v for part in parts for v in part["logprobs"][name]] == whole["logprobs"][name]
    scores = whole["logprobs"]
    ends = [*scores["text_offset"][1:], len(whole["text"])]
    cut = [whole["text"][a:b] for a, b in zip(scores["text_offset"], ends, strict=True)]
    assert cut == scores["tokens"]
    assert len(scores["token_logprobs"]) == len(scores["tokens"])
    assert scores["text_offset"][0] == 0


def test_chat_lists_the_same_tokens_streamed_and_whole(adapter: Adapter) -> None:
    said = "Hello 😀 world"
    (whole,) = adapter.chat(said, logprobs=True)["choices"]
    parts = [c["choices"][0] for c in adapter.chat(said, stream=True, logprobs=True)]
    listed = whole["logprobs"]["content"]
    streamed = [part["logprobs"]["content"] for part in parts if part["logprobs"]]
    assert [token for content in streamed for token in content] == listed
    assert "".join(token["token"] for token in listed) == said
    assert bytes(b for token in listed for b in token["bytes"]).decode() == said


def test_the_end_and_what_a_stop_string_cuts_are_counted_and_not_listed(adapter: Adapter) -> None:
    ids = _TOKENIZER.encode("one two three")
    body = adapter.complete("one two three", prompt="x", logprobs=0, stop="wo t", max_tokens=50)
    assert body["choices"][0]["logprobs"]["tokens"] == ["one", " t"]
    assert body["usage"]["completion_tokens"] == len(ids)
