"""Outlines: `from_openai` and `from_vllm`, whose wire forms differ."""

from __future__ import annotations

import json
import re
from typing import Any, Literal

import openai
import outlines
import probe
from outlines.inputs import Chat
from outlines.types import CFG, Regex
from probe import check, scenario
from pydantic import BaseModel

SDK = openai.OpenAI(
    base_url=probe.BASE_URL, api_key=probe.KEY, max_retries=0, timeout=probe.TIMEOUT_S
)
MODELS: dict[str, Any] = {
    "from_openai": outlines.from_openai(SDK, probe.MODEL),
    "from_vllm": outlines.from_vllm(SDK, probe.MODEL),
}


class Mood(BaseModel):
    """What a reader feels."""

    feeling: Literal["glad", "sad"]
    strong: bool


for name, model in MODELS.items():

    @scenario(f"`{name}`: text", column="chat")
    def text(model: Any = model) -> None:
        check(model(probe.QUESTION, max_tokens=24), "no text")

    @scenario(f"`{name}`: stream", column="streaming")
    def stream(model: Any = model) -> None:
        check("".join(model.stream(probe.QUESTION, max_tokens=24)), "no text")

    @scenario(f"`{name}`: a `Chat` with the answer appended", column="turns")
    def turns(model: Any = model) -> None:
        chat = Chat([{"role": "user", "content": probe.QUESTION}])
        chat.add_assistant_message(model(chat, max_tokens=24))
        chat.add_user_message(probe.AGAIN)
        check(model(chat, max_tokens=24), "no text")

    @scenario(f"`{name}`: a pydantic model", column="structured")
    def structured(model: Any = model) -> None:
        Mood.model_validate_json(model(probe.QUESTION, Mood, max_tokens=64))

    @scenario(f"`{name}`: an overflow says so", column="errors")
    def overflow(model: Any = model) -> None:
        probe.refused(Exception, lambda: model(probe.TOO_LONG), probe.OVERFLOW)


@scenario("`from_vllm`: a regular expression", column="structured")
def regex() -> None:
    found = MODELS["from_vllm"](probe.QUESTION, Regex(r"[A-Z][a-z]{2,8}\."), max_tokens=24)
    check(re.fullmatch(r"[A-Z][a-z]{2,8}\.", found), f"does not match: {found!r}")


@scenario("`from_vllm`: a `Literal` and an `int`", column="structured")
def types() -> None:
    found = MODELS["from_vllm"](probe.QUESTION, Literal["Paris", "Lisbon"], max_tokens=24)
    check(found in probe.CITIES, f"choice: {found!r}")
    check(str(int(MODELS["from_vllm"]("How many legs has a dog?", int, max_tokens=8))), "no number")


@scenario("`from_vllm`: a grammar", column="structured")
def grammar() -> None:
    found = MODELS["from_vllm"](probe.QUESTION, CFG('root ::= "Paris" | "Lisbon"'), max_tokens=24)
    check(found in probe.CITIES, f"choice: {found!r}")


@scenario("`from_vllm`: a list of a pydantic model", column="structured")
def listed() -> None:
    found = MODELS["from_vllm"](probe.QUESTION, list[Literal["a", "b"]], max_tokens=64)
    check(set(json.loads(found.replace("'", '"'))) <= {"a", "b"}, f"list: {found!r}")


probe.run()
