"""The stand-in itself; copied beside recorded facts as `tensorrt_llm/_stand_in.py`.

Classes are made from the facts: they take the recorded keyword arguments, keep them as
attributes, and raise TypeError on anything that is not recorded or not certain.
"""

from __future__ import annotations

import asyncio
import enum
import itertools
import json
from collections.abc import AsyncIterator, Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

#: A prompt that starts with this id fails after its first token; one with the other is refused.
FAILS_ID = 13
REFUSED_ID = 14
_PACE_S = 0.001
_DOUBT = ("uncertain", "since")


@cache
def facts() -> dict[str, Any]:
    """The facts that lie beside this file where the stand-in is in use."""
    file = Path(__file__).parent / "_facts.json"
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def check(where: str, parameters: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """All arguments, with the recorded defaults.

    Raises:
        TypeError: naming an argument that is not recorded, not certain, or missing.
    """
    for name in given:
        known = parameters.get(name)
        if known is None or any(mark in known for mark in _DOUBT):
            raise TypeError(f"{where}() got an unexpected keyword argument {name!r}")
    for name, known in parameters.items():
        if known.get("required") and name not in given:
            raise TypeError(f"{where}() missing argument {name!r}")
    return {**{name: known.get("default") for name, known in parameters.items()}, **given}


def _made(name: str, entry: dict[str, Any]) -> type:
    def __init__(self: Any, **given: Any) -> None:  # noqa: N807 - it becomes the class's
        vars(self).update(check(name, entry["parameters"], given))

    return type(name, (), {"__init__": __init__, "__module__": entry["module"]})


class StandInLLM:
    """Takes an LLM's arguments; computes nothing.

    An answer counts on from the prompt's last id, up to `max_tokens` (reason ``length``) or to
    an id that ends it (reason ``stop``). With a guide it is the bytes of the guide's text, so
    that a test sees what arrived. Log-probabilities are -0.5 for each token.
    """

    parameters: ClassVar[dict[str, Any]] = {}

    def __init__(self, **given: Any) -> None:
        self.arguments = check("LLM", self.parameters, given)
        self.requests: list[StandInRequestOutput] = []
        self.running = True

    def generate_async(self, **given: Any) -> StandInRequestOutput:
        """Start an answer; only the recorded arguments are taken."""
        method = facts()["methods"]["LLM.generate_async"]
        arguments = check("generate_async", method["parameters"], given)
        if type(arguments["sampling_params"]).__name__ != "SamplingParams":
            raise TypeError("sampling_params is not a SamplingParams")
        asyncio.get_running_loop()  # the vendor's queues belong to one, too
        if arguments["inputs"][0] == REFUSED_ID:
            raise ValueError("the stand-in refuses this prompt")
        output = StandInRequestOutput(arguments, len(self.requests))
        self.requests.append(output)
        return output

    def get_stats(self, **given: Any) -> list[dict[str, Any]]:
        """One iteration, with a block a running request."""
        check("get_stats", facts()["methods"]["LLM.get_stats"]["parameters"], given)
        used = sum(not request.finished for request in self.requests)
        return [{"kvCacheStats": {"usedNumBlocks": used, "maxNumBlocks": 100}}]

    def shutdown(self) -> None:
        """End."""
        self.running = False


class StandInRequestOutput:
    """The stream of one answer: yields itself, with all tokens so far."""

    def __init__(self, arguments: dict[str, Any], request_id: int) -> None:
        self.request_id = request_id
        self.prompt_token_ids = arguments["inputs"]
        self.finished = False
        self.outputs = [SimpleNamespace(token_ids=[], logprobs=[], finish_reason=None)]
        self.sampling = arguments["sampling_params"]
        self.lora_request = arguments["lora_request"]
        self.aborted = False

    def abort(self) -> None:
        """End soon."""
        self.aborted = True

    async def __aiter__(self) -> AsyncIterator[StandInRequestOutput]:
        completion = self.outputs[0]
        for token in self._answer():
            await asyncio.sleep(_PACE_S)
            if completion.token_ids and self.prompt_token_ids[0] == FAILS_ID:
                raise RuntimeError("the stand-in fails this request")
            if self.aborted:
                break
            completion.token_ids.append(token)
            if self.sampling.logprobs is not None:
                completion.logprobs.append({token: SimpleNamespace(logprob=-0.5, rank=1)})
            if len(completion.token_ids) == self.sampling.max_tokens:
                completion.finish_reason = "length"
                break
            yield self
        if completion.finish_reason is None:
            completion.finish_reason = "cancelled" if self.aborted else "stop"
        self.finished = True
        yield self

    def _answer(self) -> Iterator[int]:
        guide = self.sampling.guided_decoding
        if guide is not None:
            given = [guide.json, guide.regex, guide.grammar, "{}" if guide.json_object else None]
            yield from str(next(value for value in given if value is not None)).encode()
            return
        ends = {*(self.sampling.stop_token_ids or ())}
        if not self.sampling.ignore_eos:
            ends.add(self.sampling.end_id)
        yield from itertools.takewhile(
            lambda token: token not in ends, itertools.count(self.prompt_token_ids[-1] + 1)
        )


def populate(namespace: dict[str, Any], module: str) -> None:
    """Put a module's recorded classes and enumerations into its namespace."""
    for key, entry in facts()["classes"].items():
        name = key.rpartition(".")[2]
        if entry.get("module") != module:
            continue
        if name == "LLM":
            made: type = type("LLM", (StandInLLM,), {"parameters": entry["parameters"]})
        else:
            made = _made(name, entry)
        namespace[name] = made
    for name, entry in facts()["enums"].items():
        if entry["module"] == module:
            namespace[name] = enum.Enum(name, {value: value for value in entry["values"]})
