from __future__ import annotations

import pytest
from enginehouse.gateway.prompts.reference import RegistryPromptReference
from enginehouse.gateway.prompts.template import PromptTemplate, before

from enginehouse.errors import InvalidRequestError


def _text(text: str) -> PromptTemplate:
    return PromptTemplate("p", 3, (("system", text),))


def _filled(text: str, **variables: str) -> str:
    (message,) = _text(text).rendered(variables)
    return str(message["content"])


@pytest.mark.parametrize(
    ("text", "variables", "filled"),
    [
        ("You are kind.", {}, "You are kind."),
        ("You are {{ mood }}, {{mood}}.", {"mood": "calm"}, "You are calm, calm."),
        ("A {{x}}", {"x": "{{y}} {% raw %} {{x}}"}, "A {{y}} {% raw %} {{x}}"),
        ("{% if name %}Dear {{name}}{% else %}Hello{% endif %}", {}, "Hello"),
        ("{% if name %}Dear {{name}}{% else %}Hello{% endif %}", {"name": "Ann"}, "Dear Ann"),
        ("{% for c in word %}{{c}}.{% endfor %}", {"word": "ab"}, "a.b."),
        ("{% if x %}{{x}}{% endif %}", {"x": "{{ 7 * 7 }}"}, "{{ 7 * 7 }}"),
        ('{"json": {"a": {}}}', {}, '{"json": {"a": {}}}'),
    ],
)
def test_variables_are_filled_in_once(text: str, variables: dict[str, str], filled: str) -> None:
    assert _filled(text, **variables) == filled


@pytest.mark.parametrize(
    ("text", "variables", "message"),
    [
        ("You are {{mood}}.", {}, "'mood'.*prompt.variables"),
        ("You are {{mood}}.", {"mod": "calm"}, "no variable 'mod'; variables: mood"),
        ("You are kind.", {"mood": "calm"}, "variables: none"),
        ("{% if a %}{{a}}{% endif %}{{b}}", {"a": "1"}, "'b'"),
        ("{% if a %}{{b}}", {"a": "1"}, "TemplateSyntaxError"),
        ("{% if a %}{{ a.__class__.__mro__ }}{% endif %}", {"a": "1"}, "SecurityError|variable"),
    ],
)
def test_what_cannot_be_filled_in_is_named(
    text: str, variables: dict[str, str], message: str
) -> None:
    with pytest.raises(InvalidRequestError, match=message) as raised:
        _filled(text, **variables)
    assert raised.value.field == "prompt"
    assert "p/3" in str(raised.value)


def test_a_chat_prompt_stands_before_the_conversation_in_its_order() -> None:
    prompt = PromptTemplate(
        "p", 1, (("system", "Be {{how}}."), ("user", "Hi"), ("assistant", "Yes?"))
    )
    assert prompt.variables == {"how"}
    first = prompt.rendered({"how": "brief"})
    assert before(first, [{"role": "user", "content": "Go"}]) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": "Go"},
    ]


def test_two_system_messages_become_one() -> None:
    ours = [{"role": "system", "content": "Ours."}]
    theirs = [{"role": "system", "content": "Theirs."}, {"role": "user", "content": "Hi"}]
    assert before(ours, theirs) == [{"role": "system", "content": "Ours.\n\nTheirs."}, theirs[1]]
    assert ours == [{"role": "system", "content": "Ours."}]
    assert theirs[0]["content"] == "Theirs."


@pytest.mark.parametrize(
    ("text", "version", "uri"),
    [
        ("greet", None, "prompts:/greet@champion"),
        ("greet", "3", "prompts:/greet/3"),
        ("greet", "best", "prompts:/greet@best"),
        ("greet@best", None, "prompts:/greet@best"),
        ("greet/4", None, "prompts:/greet/4"),
        ("greet/4", "4", "prompts:/greet/4"),
        ("prompts:/greet@best", None, "prompts:/greet@best"),
    ],
)
def test_a_reference_says_name_and_version(text: str, version: str | None, uri: str) -> None:
    assert RegistryPromptReference.parse(text, version, "champion").uri == uri


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("", None),
        ("greet@", None),
        ("a/b/c", None),
        ("../secret", "1"),
        ("greet", "a b"),
        ("greet@best", "3"),
        ("x" * 300, None),
    ],
)
def test_a_reference_that_names_no_prompt_is_refused(text: str, version: str | None) -> None:
    with pytest.raises(InvalidRequestError, match=r"NAME|name one"):
        RegistryPromptReference.parse(text, version, "champion")
