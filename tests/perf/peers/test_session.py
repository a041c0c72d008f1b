from __future__ import annotations

from collections import Counter

import pytest
from enginehouse.perf.peers.__main__ import stream_counts
from enginehouse.perf.peers.peer import Launch
from enginehouse.perf.peers.roster import PEERS, chosen
from enginehouse.perf.peers.session import in_turn, same_start
from enginehouse.perf.peers.settings_sweep import SettingsVariant, changed, wanted

from enginehouse.errors import SettingsError


def test_each_side_begins_equally_often_and_none_is_left_out() -> None:
    sides = ["raw", "ours", "a", "b"]
    turns = [in_turn(sides, number) for number in range(8)]
    assert all(sorted(turn) == sorted(sides) for turn in turns)
    assert Counter(turn[0] for turn in turns) == dict.fromkeys(sides, 2)


def test_agreement_is_the_share_of_our_answers_that_others_begin_with() -> None:
    assert same_start(["abcd", "abcd"], ["abcd", "abXX"]) == 0.75
    assert same_start(["abcd"], ["abcdefgh"]) == 1.0
    assert same_start(["abcd"], [""]) == 0.0


def test_peers_are_chosen_by_name() -> None:
    assert chosen(None) == PEERS
    assert [peer.name for peer in chosen("llama-server, vllm,vllm")] == ["llama-server", "vllm"]
    with pytest.raises(SettingsError, match="no such peer; there are vllm"):
        chosen("ollama")


def test_stream_counts_are_numbers_above_nought() -> None:
    assert stream_counts("1, 16") == (1, 16)
    for wrong in ("", "1,,2", "0", "-1", "many"):
        with pytest.raises(SettingsError, match="--streams"):
            stream_counts(wrong)


def test_a_variant_replaces_adds_and_takes_away_options() -> None:
    launch = Launch(("serve", "--dtype", "bfloat16", "--port", "1"), "/health", {"A": "1"})
    variant = SettingsVariant({"--dtype": "float16", "--eager": "", "--port": None}, {"B": "2"})
    result = changed(launch, variant)
    assert result.argv == ("serve", "--dtype", "float16", "--eager")
    assert result.env == {"A": "1", "B": "2"}


def test_variants_are_chosen_by_name_and_begin_with_the_chosen_settings() -> None:
    assert list(wanted("vllm", ["float16"])) == ["chosen", "float16"]
    with pytest.raises(SettingsError, match="no such variant; there are"):
        wanted("vllm", ["faster"])
