"""Span attributes, named by OpenTelemetry's semantic conventions for generative AI.

They never contain prompts or answers, although the conventions define attributes for them.
"""

from __future__ import annotations

from collections.abc import Mapping

from enginehouse.api.call import Call

#: `gen_ai.provider.name`; the conventions allow a name of one's own if none of theirs applies.
PROVIDER = "enginehouse"
_OPERATIONS: Mapping[str, str] = {
    "chat.completions": "chat",
    "responses": "chat",
    "completions": "text_completion",
    "embeddings": "embeddings",
}
Attributes = dict[str, str | int | float | bool | list[str]]


def operation_of(endpoint: str) -> str:
    """The value of `gen_ai.operation.name` for an endpoint."""
    return _OPERATIONS.get(endpoint, endpoint)


def asked(call: Call) -> Attributes:
    """Attributes known when a call arrives."""
    attributes: Attributes = {
        "gen_ai.operation.name": operation_of(call.ask.endpoint),
        "gen_ai.provider.name": PROVIDER,
        "gen_ai.request.model": call.asked_model,
        "gen_ai.request.stream": call.ask.stream,
        "gen_ai.response.id": call.id,
        "enginehouse.request_id": call.request_id,
        "enginehouse.tenant": call.tenant or call.caller.tenant,
    }
    return attributes


def answered(call: Call) -> Attributes:
    """Attributes known when a call has ended, as far as it got."""
    attributes: Attributes = {
        "gen_ai.usage.input_tokens": call.usage.prompt_tokens,
        "gen_ai.usage.output_tokens": call.usage.completion_tokens,
    }
    served = call.served_by
    if served is not None:
        attributes["gen_ai.response.model"] = served.model
        attributes["enginehouse.source"] = served.source
        if served.fingerprint is not None:
            attributes["openai.response.system_fingerprint"] = served.fingerprint
        if served.version is not None:
            attributes["enginehouse.version"] = served.version
    attributes.update(_sampling(call))
    return attributes


def _sampling(call: Call) -> Attributes:
    choices = None if call.answered is None else call.answered.choices
    if choices is None or not choices.generations:
        return {}
    first = choices.generations[0].prompt
    sampling = first.sampling
    attributes: Attributes = {"gen_ai.request.temperature": float(sampling.temperature)}
    if first.max_tokens is not None:
        attributes["gen_ai.request.max_tokens"] = first.max_tokens
    if sampling.top_p is not None:
        attributes["gen_ai.request.top_p"] = float(sampling.top_p)
    if sampling.seed is not None and sampling.seed < 2**63:
        attributes["gen_ai.request.seed"] = sampling.seed
    if len(choices.generations) > 1:
        attributes["gen_ai.request.choice.count"] = len(choices.generations)
    return attributes
