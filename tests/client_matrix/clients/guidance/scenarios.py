"""guidance: the OpenAI model, and the experimental one for vLLM's grammar fields."""

from __future__ import annotations

import json
from typing import Any, Literal

import guidance
import probe
from guidance import assistant, gen, user
from guidance import json as gen_json
from guidance.models import OpenAI
from guidance.models.experimental import VLLMModel
from probe import check, scenario
from pydantic import BaseModel

_ALTERNATIVES = (
    "it asks for `top_logprobs: 5`, and the engine gives the chosen token's log-probability alone; "
    "switch it off with `model._interpreter.logprobs = False`"
)
_LARK = "it sends llguidance's Lark grammars; grammars here are GBNF"


_CLIENT: Any = {"max_retries": 0, "timeout": probe.TIMEOUT_S}


class Mood(BaseModel):
    """What a reader feels."""

    feeling: Literal["glad", "sad"]
    strong: bool


def made(kind: Any = OpenAI, *, logprobs: bool = False) -> Any:
    more = _CLIENT if kind is OpenAI else {}
    found = kind(probe.MODEL, base_url=probe.BASE_URL, api_key=probe.KEY, echo=False, **more)
    found._interpreter.logprobs = logprobs
    return found


def asked(lm: Any, what: Any, question: str = probe.QUESTION) -> Any:
    with user():
        lm += question
    with assistant():
        lm += what
    return lm


@scenario("`gen`, streamed, with `logprobs` switched off", column="streaming")
def text() -> None:
    check(asked(made(), gen("answer", max_tokens=24))["answer"], "no text")


@scenario(
    "`gen` as it comes, with alternatives of each token", column="streaming", limit=_ALTERNATIVES
)
def alternatives() -> None:
    check(asked(made(logprobs=True), gen("answer", max_tokens=24))["answer"], "no text")


@scenario("a second turn after the answer", column="turns")
def turns() -> None:
    lm = asked(made(), gen("first", max_tokens=24))
    check(asked(lm, gen("second", max_tokens=24), probe.AGAIN)["second"], "no text")


@scenario("`json` of a pydantic model", column="structured")
def structured() -> None:
    lm = asked(made(), gen_json("mood", schema=Mood))
    probe.is_mood(json.loads(lm["mood"]))


@scenario("`VLLMModel`: a regular expression as a Lark grammar", column="structured", limit=_LARK)
def regex() -> None:
    lm = asked(made(VLLMModel), gen("year", regex=r"\d{4}"))
    check(str(lm["year"]).isdigit(), f"year: {lm['year']!r}")


@scenario("an overflow says so", column="errors")
def overflow() -> None:
    probe.refused(Exception, lambda: asked(made(), gen("answer"), probe.TOO_LONG), probe.OVERFLOW)


check(guidance.__version__, "no version")
probe.run()
