from __future__ import annotations

import pytest
from enginehouse.api.caller import Caller
from prometheus_client import CollectorRegistry

from enginehouse.errors import ContentBlockedError, InvalidRequestError
from tests.gateway.content.content_calls import Engine, asked, call_of, said, text_of, through

PII = {"type": "pii"}
NUMBERED = {"type": "pii", "placeholders": "numbered"}
RESTORED = {**NUMBERED, "restore": True}
SECRET_WORD = {"type": "patterns", "words": ["xyzzy"], "name": "magic"}


def test_without_filters_everything_passes_unchanged() -> None:
    engine, call = Engine(said("fine")), asked("I am ann@example.org")
    assert through({}, call, engine) == said("fine")
    assert "content" not in call.findings


def test_a_blocked_prompt_never_reaches_the_engine_and_is_not_repeated() -> None:
    engine, call = Engine(said("fine")), asked("say Xyzzy to me")
    with pytest.raises(ContentBlockedError) as caught:
        through({"input": [SECRET_WORD]}, call, engine)
    assert engine.asked is None
    assert caught.value.code == "content_filter"
    assert caught.value.field == "messages"
    assert "magic" in str(caught.value)
    assert "xyzzy" not in str(caught.value).lower()
    assert call.findings["content"] == {
        "input": {"magic": {"action": "block", "count": 1}},
        "blocked_by": "magic",
    }


def test_redacted_prompts_reach_the_engine_and_the_body_keeps_its_own() -> None:
    message = {"role": "user", "content": "I am ann@example.org"}
    call = call_of(messages=[message])
    through({"input": [PII]}, call, Engine(said("fine")))
    assert call.messages[0]["content"] == "I am [EMAIL]"
    assert message["content"] == "I am ann@example.org"


def test_parts_of_a_content_and_prompts_are_read_too() -> None:
    parts = [{"type": "text", "text": "ann@example.org"}, {"type": "text", "text": "hi"}]
    call = asked(parts)
    through({"input": [PII]}, call, Engine(said("fine")))
    assert [part["text"] for part in call.messages[0]["content"]] == ["[EMAIL]", "hi"]
    assert parts[0]["text"] == "ann@example.org"
    call = call_of("completions", texts=["ann@example.org", "b"])
    through({"input": [PII]}, call, Engine(said("fine")))
    assert call.texts == ["[EMAIL]", "b"]


def test_only_messages_of_its_roles_are_read() -> None:
    messages = [
        {"role": role, "content": "ann@example.org"}
        for role in ("system", "user", "assistant", "tool")
    ]
    call = call_of(messages=messages)
    through({"input": [{**PII, "roles": ["user", "tool"]}]}, call, Engine(said("fine")))
    kept = [message["role"] for message in call.messages if "@" in message["content"]]
    assert kept == ["system", "assistant"]


def test_prompts_of_token_ids_are_refused_when_a_rule_has_to_read_them() -> None:
    ids = [[1, 2, 3]]
    with pytest.raises(InvalidRequestError, match="token ids") as caught:
        through({"input": [PII]}, call_of("completions", texts=ids), Engine(said("fine")))
    assert caught.value.field == "prompt"
    allowed = {"input": [PII], "id_prompts": "pass"}
    assert through(allowed, call_of("completions", texts=ids), Engine(said("fine")))
    flagging = {"input": [{**PII, "action": "flag"}]}
    assert through(flagging, call_of("completions", texts=ids), Engine(said("fine")))


def test_a_flag_is_noted_and_changes_nothing() -> None:
    registry, call = CollectorRegistry(), asked("a@b.org and c@d.org")
    through({"input": [{**PII, "action": "flag"}]}, call, Engine(said("fine")), registry)
    assert call.messages[0]["content"] == "a@b.org and c@d.org"
    assert call.findings["content"] == {"input": {"pii.email": {"action": "flag", "count": 2}}}
    labels = {"stage": "input", "rule": "pii.email", "action": "flag"}
    assert registry.get_sample_value("enginehouse_content_verdicts_total", labels) == 2


def test_a_filter_is_for_its_models_and_tenants() -> None:
    config = {"input": [{**SECRET_WORD, "models": ["smollm2"], "tenants": ["acme"]}]}
    acme = Caller(tenant="acme", key_id="k")
    for model in ("smollm2", "smollm2@3", "smollm2:adapter"):
        with pytest.raises(ContentBlockedError):
            through(config, asked("xyzzy", model=model, caller=acme), Engine(said("fine")))
    assert through(config, asked("xyzzy", model="other", caller=acme), Engine(said("fine")))
    assert through(config, asked("xyzzy", caller=Caller(key_id="k")), Engine(said("fine")))


def test_filters_work_in_their_order() -> None:
    word = {"type": "patterns", "words": ["[EMAIL]"], "regexes": [r"\[EMAIL\]"]}
    with pytest.raises(ContentBlockedError):
        through({"input": [PII, word]}, asked("a@b.org"), Engine(said("fine")))
    assert through({"input": [word, PII]}, asked("a@b.org"), Engine(said("fine")))


def test_the_same_value_has_the_same_number_and_comes_back_in_the_answer() -> None:
    call = asked("from a@b.org to c@d.org, copy to a@b.org")
    answer = "Sent [EMAIL_2] and [EMAIL_1], not [EMAIL_9] or [PHONE_1]."
    pieces = through({"input": [RESTORED]}, call, Engine(said(answer)))
    assert call.messages[0]["content"] == "from [EMAIL_1] to [EMAIL_2], copy to [EMAIL_1]"
    assert text_of(pieces) == "Sent c@d.org and a@b.org, not [EMAIL_9] or [PHONE_1]."
    assert "a@b.org" not in str(call.findings)


def test_only_kinds_that_are_to_come_back_do() -> None:
    phone = {**NUMBERED, "kinds": ["phone"], "name": "phones"}
    call = asked("a@b.org or 555-123-4567")
    config = {"input": [{**RESTORED, "kinds": ["email"]}, phone]}
    pieces = through(config, call, Engine(said("[EMAIL_1] [PHONE_1]")))
    assert text_of(pieces) == "a@b.org [PHONE_1]"


def test_a_value_of_the_prompt_has_its_number_in_every_answer() -> None:
    config = {"input": [NUMBERED], "output": [NUMBERED]}
    answers = [*said("new@c.org, a@b.org", index=0), *said("a@b.org, other@d.org", index=1)]
    pieces = through(config, asked("a@b.org"), Engine(answers))
    assert text_of(pieces, 0) == "[EMAIL_2], [EMAIL_1]"
    assert text_of(pieces, 1) == "[EMAIL_1], [EMAIL_2]"


def test_what_the_answer_adds_is_redacted_and_stays_so() -> None:
    config = {"input": [RESTORED], "output": [NUMBERED]}
    pieces = through(config, asked("a@b.org"), Engine(said("[EMAIL_1] and new@c.org")))
    assert text_of(pieces) == "a@b.org and [EMAIL_2]"
