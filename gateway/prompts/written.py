"""Inserts a prompt into a call."""

from __future__ import annotations

from collections.abc import Mapping

from enginehouse.api.call import Call
from enginehouse.gateway.prompts.template import PromptTemplate, before

PROMPT_HEADER = "x-enginehouse-prompt"


def put(call: Call, template: PromptTemplate, variables: Mapping[str, str], note: str) -> None:
    """Put a prompt before a call's conversation; `note` names it in `Call.findings`.

    Raises:
        InvalidRequestError: if a variable is missing or unknown.
    """
    call.messages = before(template.rendered(variables), call.messages)
    call.findings[note] = {"name": template.name, "version": template.version}
    said = call.response_headers.get(PROMPT_HEADER)
    label = template.label
    call.response_headers[PROMPT_HEADER] = label if said is None else f"{said}, {label}"
