from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from enginehouse.api.call import Answered, Call, ServedBy
from enginehouse.api.generation import TextChunk
from enginehouse.api.revision import Revision
from enginehouse.client import Target
from enginehouse.gateway.content.config import ContentConfig
from enginehouse.gateway.content.opening import open_content
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from enginehouse.errors import EngineUnavailableError
from enginehouse.generation import FinishReason
from tests.gateway.content.content_calls import Engine, asked, said, text_of, through
from tests.gateway.through import through as behind

PII = {"type": "pii"}
MAGIC = {"type": "patterns", "words": ["xyzzy"], "name": "magic"}
BLOCKED = TextChunk("", finish=FinishReason.CONTENT_FILTER)


def known(words: dict[int, str]) -> Answered:
    """By a version whose tokenizer knows these tokens."""
    tokenizer: Any = SimpleNamespace(token_text=lambda token_id: words.get(token_id, ""))
    nobody: Any = None
    revision = Revision(Target("smollm2", 1), nobody, tokenizer, nobody)
    return Answered(ServedBy("smollm2", 1, None), revision)


def test_an_answer_is_redacted_across_its_pieces() -> None:
    for size in (1, 2, 3, 7, 100):
        call, engine = asked(), Engine(said("mail ann@example.org, ok", size=size))
        pieces = through({"output": [PII]}, call, engine)
        assert text_of(pieces) == "mail [EMAIL], ok"
        assert pieces[-1].finish is FinishReason.STOP
        assert call.findings["content"]["output"] == {"pii.email": {"action": "redact", "count": 1}}


@settings(max_examples=100, deadline=None)
@given(places=st.lists(st.integers(0, 120), max_size=20))
def test_several_filters_and_answers_are_the_same_however_they_are_cut(places: list[int]) -> None:
    text = "Hi Xyzzy, ann@example.org or 555-123-4567; xyzz and 10.0.0.1. By xyzzy"
    edges = sorted({place % len(text) for place in places} | {0, len(text)})
    parts = [text[a:b] for a, b in pairwise(edges)]
    pieces = [TextChunk(part, index=index) for part in parts for index in (0, 1)]
    ends = [TextChunk("", finish=FinishReason.STOP, index=index) for index in (1, 0)]
    out = through(
        {"output": [{**MAGIC, "action": "redact"}, PII]}, asked(), Engine([*pieces, *ends])
    )
    expected = "Hi [REDACTED], [EMAIL] or [PHONE]; xyzz and [IP]. By [REDACTED]"
    assert text_of(out, 0) == expected
    assert text_of(out, 1) == expected
    assert [piece.index for piece in out if piece.finish] == [1, 0]


def test_a_blocked_answer_ends_before_the_match_and_stops_the_engine() -> None:
    call, engine = asked(), Engine(said("The word is Xyzzy, " + "and so on " * 20))
    pieces = through({"output": [MAGIC]}, call, engine)
    assert text_of(pieces) == "The word is "
    assert pieces[-1] == BLOCKED
    assert engine.closed
    assert engine.given < len(engine.pieces)
    assert call.findings["content"]["blocked_by"] == "magic"


def test_other_answers_go_on_when_one_is_blocked() -> None:
    bad, good = said("so xyzzy then", index=0), said("all is well here", index=1)
    mixed = [piece for pair in zip(bad, good, strict=False) for piece in pair]
    engine = Engine([*mixed, *good[len(bad) :]])
    pieces = through({"output": [MAGIC]}, asked(), engine)
    assert text_of(pieces, 0) == "so "
    assert text_of(pieces, 1) == "all is well here"
    ends = {piece.index: piece.finish for piece in pieces if piece.finish}
    assert ends == {0: FinishReason.CONTENT_FILTER, 1: FinishReason.STOP}
    assert engine.given == len(engine.pieces)


def test_what_an_earlier_filter_holds_is_let_go_when_a_later_one_ends_the_answer() -> None:
    config = {"output": [{**MAGIC, "action": "redact"}, {**MAGIC, "name": "b", "words": ["stop"]}]}
    pieces = through(config, asked(), Engine(said("xyzzy go stop now")))
    assert text_of(pieces) == "[REDACTED] go "
    assert pieces[-1].finish is FinishReason.CONTENT_FILTER


def test_tokens_of_changed_text_do_not_go_out() -> None:
    words = {1: "I am ", 2: "ann", 3: "@exa", 4: "mple.org", 5: " now", 6: "</s>"}
    pieces = [TextChunk(words[at], [at], [-0.5]) for at in range(1, 6)]
    pieces.append(TextChunk("", [6], [-0.1], FinishReason.STOP))
    call = asked()
    call.answered = known(words)
    out = through({"output": [PII]}, call, Engine(pieces))
    assert text_of(out) == "I am [EMAIL] now"
    assert [token for piece in out for token in piece.token_ids] == [1, 5, 6]
    assert [value for piece in out for value in piece.log_probs] == [-0.5, -0.5, -0.1]


def test_tokens_that_run_ahead_of_their_text_do_not_go_out() -> None:
    # A stop string that did not come held the end of the first token's text back.
    words = {1: "to ann", 2: "@example.org", 3: "."}
    pieces = [
        TextChunk("to ", [1], [-0.5]),
        TextChunk("ann@example.org", [2], [-0.5]),
        TextChunk(".", [3], [-0.5], FinishReason.STOP),
    ]
    call = asked()
    call.answered = known(words)
    out = through({"output": [PII]}, call, Engine(pieces))
    assert text_of(out) == "to [EMAIL]."
    assert [token for piece in out for token in piece.token_ids] == [3]


def test_tokens_without_text_wait_for_it() -> None:
    words = {1: "an", 2: "n@example.org"}
    pieces = [
        TextChunk("", [1], [-0.5]),
        TextChunk("ann@example.org", [2], [-0.5], FinishReason.STOP),
    ]
    call = asked()
    call.answered = known(words)
    out = through({"output": [PII]}, call, Engine(pieces))
    assert text_of(out) == "[EMAIL]"
    assert not [token for piece in out for token in piece.token_ids]


def test_tokens_without_text_go_out_with_text_that_is_not_changed() -> None:
    words = {1: "an", 2: "d so"}
    pieces = [TextChunk("", [1], [-0.5]), TextChunk("and so", [2], [-0.7], FinishReason.STOP)]
    call = asked()
    call.answered = known(words)
    out = through({"output": [PII]}, call, Engine(pieces))
    assert [token for piece in out for token in piece.token_ids] == [1, 2]
    assert [value for piece in out for value in piece.log_probs] == [-0.5, -0.7]


def test_a_flag_lets_everything_through_at_once() -> None:
    call, pieces = asked(), said("ann@example.org")
    assert through({"output": [{**PII, "action": "flag"}]}, call, Engine(pieces)) == pieces
    assert call.findings["content"]["output"] == {"pii.email": {"action": "flag", "count": 1}}


def test_a_caller_who_goes_stops_the_engine() -> None:
    engine = Engine(said("a long answer " * 20))

    async def run() -> None:
        config = ContentConfig.model_validate({"output": [PII]})
        async with (
            open_content(config, CollectorRegistry()) as stage,
            aclosing(behind(stage, asked(), engine)) as pieces,
        ):
            await anext(pieces)

    asyncio.run(run())
    assert engine.closed
    assert engine.given < len(engine.pieces)


def test_an_answer_that_breaks_off_is_an_error_not_a_short_answer() -> None:
    with pytest.raises(EngineUnavailableError):
        through({"output": [PII]}, asked(), Engine(said("ann@example")[:-1]))


def test_an_unknown_number_of_answers_is_read_to_its_end() -> None:
    pieces = [*said("xyzzy", index=0), *said("fine", index=1)]

    async def provider(_: Call) -> AsyncGenerator[TextChunk, None]:
        for piece in pieces:
            yield piece

    out = through({"output": [MAGIC]}, asked(), provider)
    assert text_of(out, 1) == "fine"


def test_an_answer_that_ends_by_itself_is_followed_to_its_end() -> None:
    """The stages behind keep an answer, or book it, when their stream has ended."""
    call, engine = asked(), Engine(said("nothing to hide"))
    through({"output": [PII]}, call, engine)
    assert engine.whole


def test_the_engine_of_a_blocked_answer_is_stopped() -> None:
    call, engine = asked(), Engine(said("say xyzzy and much more of it"))
    through({"output": [{**MAGIC, "action": "block"}]}, call, engine)
    assert engine.closed
    assert not engine.whole
