from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from statistics import mean

import pytest
from enginehouse.perf.loads import load_of
from enginehouse.perf.profile import Profile, load_profile, profile_names
from enginehouse.perf.prompts import PromptMaker

from enginehouse.bundle import Bundle
from enginehouse.errors import SettingsError
from enginehouse.text import Tokenizer


@pytest.fixture(scope="module")
def maker(bundle: Bundle) -> PromptMaker:
    return PromptMaker(bundle)


def _profile(**load: object) -> Profile:
    mix = [{"name": "chat", "input": {"mean": 20}, "output": {"mean": 8}}]
    return Profile.model_validate({"name": "p", "description": "d", "mix": mix, "load": load})


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_makes_prompts_of_its_lengths(
    name: str, maker: PromptMaker, bundle: Bundle
) -> None:
    profile = load_profile(name)
    assert profile.name == name
    load = load_of(profile, maker, profile.levels[0], "a place")
    tokenizer = Tokenizer.from_file(bundle.tokenizer_path)
    for prompt in load.prompts:
        kind = next(kind for kind in profile.mix if kind.name == prompt.kind)
        words = len(tokenizer.encode(prompt.user))
        # Two texts are joined by a space, and a cut word may be read in other tokens again.
        least, most = kind.input.minimum, kind.input.maximum
        wanted = kind.shared_prefix + (kind.input.mean if not kind.input.stdev else 0)
        assert kind.shared_prefix + least <= words + 2
        assert words <= kind.shared_prefix + most + 2
        if not kind.input.stdev:
            assert words == pytest.approx(wanted, abs=2)
        assert tuple(tokenizer.encode(prompt.rendered, control_tokens=True)) == prompt.input_ids
        assert len(prompt.input_ids) + prompt.max_tokens <= bundle.manifest.context_length


def test_the_same_place_asks_the_same_and_another_asks_with_the_same_lengths(
    maker: PromptMaker,
) -> None:
    profile = load_profile("mixed-chat")
    first = maker.prompts(profile, 30, place="here")
    assert maker.prompts(profile, 30, place="here") == first
    other = maker.prompts(profile, 30, place="there")
    assert [p.max_tokens for p in other] == [p.max_tokens for p in first]
    assert not {p.user for p in other} & {p.user for p in first}
    assert {p.kind for p in first} == {"question", "document", "essay"}


def test_a_shared_prefix_is_shared_by_its_group_alone(maker: PromptMaker) -> None:
    profile = _profile(kind="concurrency", levels=[1])
    kind = profile.mix[0].model_copy(update={"shared_prefix": 50, "groups": 2})
    profile = profile.model_copy(update={"mix": [kind]})
    prompts = maker.prompts(profile, 40, place="x")
    beginnings = {prompt.user[:100] for prompt in prompts}
    assert len(beginnings) == 2
    assert len({prompt.user for prompt in prompts}) == 40


def test_arrivals_are_those_of_the_load() -> None:
    closed = _profile(kind="concurrency", levels=[4], requests_a_stream=3)
    assert closed.schedule(4) == 12
    bursts = _profile(kind="bursts", levels=[2], every_s=5, count=2)
    assert bursts.schedule(2) == [0.0, 0.0, 5.0, 5.0]
    constant = _profile(kind="request_rate", levels=[2], arrivals="constant", duration_s=2)
    assert constant.schedule(2) == [0.0, 0.5, 1.0, 1.5]
    poisson = _profile(kind="request_rate", levels=[10], arrivals="poisson", duration_s=200)
    due = poisson.schedule(10)
    assert not isinstance(due, int)
    assert due == poisson.schedule(10)
    gaps = [after - before for before, after in pairwise(due)]
    assert mean(gaps) == pytest.approx(0.1, rel=0.1)
    assert max(gaps) > 0.3


@pytest.mark.parametrize(
    ("name", "said"),
    [("nothing", "there are: bursts"), ("gone.yaml", "no such file")],
)
def test_a_profile_that_is_not_there_is_refused(name: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load_profile(name)


def test_a_wrong_profile_names_the_field(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("name: x\ndescription: y\nmix: []\nload: {kind: concurrency, levels: [0]}\n")
    with pytest.raises(SettingsError, match="levels"):
        load_profile(str(own))
