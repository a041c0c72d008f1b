"""Gate `smoke`: a short conversation with the version on every replica."""

from __future__ import annotations

from contextlib import closing

from enginehouse.registry.gates.context import GateContext
from enginehouse.registry.gates.conversation import Speaker
from enginehouse.registry.rollouts.state import GateResult, Verdict

from enginehouse.errors import ServingError

NAME = "smoke"
_TURNS = ("What is the capital of France?", "And of Italy?")
_MOST_TOKENS = 32
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def smoke(context: GateContext) -> GateResult:
    """Pass if two chat turns give visible, valid text on every replica."""
    said: list[str] = []
    for address in context.replicas:
        try:
            answers = _talk(context, address)
        except ServingError as error:
            reason = f"the replica at {address} did not answer: {error}"
            return GateResult(name=NAME, verdict=Verdict.FAIL, reason=reason)
        for question, text in zip(_TURNS, answers, strict=True):
            wrong = _wrong(text)
            if wrong is not None:
                reason = f"the replica at {address}, asked {question!r}, {wrong}: {text[:80]!r}"
                return GateResult(name=NAME, verdict=Verdict.FAIL, reason=reason)
        said += answers
    numbers = {"replicas": float(len(context.replicas)), "answers": float(len(said))}
    reason = f"answered {_TURNS[0]!r} with {said[0][:60]!r}" if said else "no replica was asked"
    verdict = Verdict.PASS if said else Verdict.INCONCLUSIVE
    return GateResult(name=NAME, verdict=verdict, reason=reason, numbers=numbers)


def _talk(context: GateContext, address: str) -> list[str]:
    messages: list[dict[str, str]] = []
    answers = []
    with closing(Speaker(address, context.model, context.version, context.bundle)) as speaker:
        for turn in _TURNS:
            messages.append({"role": "user", "content": turn})
            text = speaker.ask(messages, _MOST_TOKENS).text
            messages.append({"role": "assistant", "content": text})
            answers.append(text)
    return answers


def _wrong(text: str) -> str | None:
    if not text.strip():
        return "gave an empty answer"
    if _REPLACEMENT in text:
        return "gave text with broken characters"
    return None
