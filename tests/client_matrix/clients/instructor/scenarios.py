"""instructor, in the modes that OpenAI-compatible servers are used with."""

from __future__ import annotations

from typing import Any, Literal

import instructor
import openai
import probe
from probe import check, refused, scenario
from pydantic import BaseModel

QUESTION: Any = [{"role": "user", "content": probe.QUESTION}]
SDK = openai.OpenAI(
    base_url=probe.BASE_URL, api_key=probe.KEY, max_retries=0, timeout=probe.TIMEOUT_S
)


class Mood(BaseModel):
    """What a reader feels."""

    feeling: Literal["glad", "sad"]
    strong: bool


def asked(mode: instructor.Mode, kind: Any = Mood, **changed: Any) -> Any:
    given = {"model": probe.MODEL, "messages": QUESTION, "max_tokens": 96, "max_retries": 0}
    client: Any = instructor.from_openai(SDK, mode=mode)
    return client.chat.completions.create(response_model=kind, **given | changed)


for mode in (instructor.Mode.TOOLS, instructor.Mode.TOOLS_STRICT, instructor.Mode.JSON_SCHEMA):

    @scenario(
        f"`Mode.{mode.name}`", column="structured" if mode.name.startswith("JSON") else "tools"
    )
    def answered(mode: instructor.Mode = mode) -> None:
        check(isinstance(asked(mode), Mood), "not of its type")


@scenario("`create_with_completion` tells the usage", column="usage")
def usage() -> None:
    client: Any = instructor.from_openai(SDK, mode=instructor.Mode.JSON_SCHEMA)
    _, raw = client.chat.completions.create_with_completion(
        response_model=Mood, model=probe.MODEL, messages=QUESTION, max_tokens=48
    )
    check(raw.usage.completion_tokens > 0, "no usage")


@scenario("`create_partial`, streamed", column="streaming")
def partial() -> None:
    client: Any = instructor.from_openai(SDK, mode=instructor.Mode.JSON_SCHEMA)
    parts = list(
        client.chat.completions.create_partial(
            response_model=Mood, model=probe.MODEL, messages=QUESTION, max_tokens=48
        )
    )
    check(parts and parts[-1].feeling in {"glad", "sad"}, f"parts: {parts[-1:]}")


@scenario("a plain answer with `response_model=None`", column="chat")
def plain() -> None:
    answer = asked(instructor.Mode.TOOLS, None)
    check(answer.choices[0].message.content, "no text")


@scenario("`from_provider` with the Responses mode", column="structured")
def responses() -> None:
    client: Any = instructor.from_openai(SDK, mode=instructor.Mode.RESPONSES_TOOLS)
    found = client.responses.create(
        response_model=Mood, model=probe.MODEL, input=probe.QUESTION, max_retries=0
    )
    check(isinstance(found, Mood), "not of its type")


@scenario("its re-ask after a failed validation is taken", column="turns")
def reasked() -> None:
    from pydantic import field_validator

    seen: list[str] = []

    class Twice(Mood):
        @field_validator("feeling")
        @classmethod
        def first_time(cls, value: str) -> str:
            seen.append(value)
            if len(seen) == 1:
                raise ValueError("say it again")
            return value

    check(isinstance(asked(instructor.Mode.TOOLS, Twice, max_retries=2), Twice), "not of its type")
    check(len(seen) > 1, "was not asked again")


@scenario("an overflow says so", column="errors")
def overflow() -> None:
    long = [{"role": "user", "content": probe.TOO_LONG}]
    refused(Exception, lambda: asked(instructor.Mode.TOOLS, messages=long), probe.OVERFLOW)


probe.run()
