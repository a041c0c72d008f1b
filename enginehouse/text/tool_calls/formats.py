"""Tool formats by name, and the choice of a model's format."""

from __future__ import annotations

from enginehouse.errors import SettingsError
from enginehouse.text.tool_calls.base import ToolFormat
from enginehouse.text.tool_calls.hermes import Hermes
from enginehouse.text.tool_calls.llama3_json import Llama3Json
from enginehouse.text.tool_calls.mistral import Mistral
from enginehouse.text.tool_calls.pythonic import Pythonic

#: In the order in which templates are tried: some contain the marker of a later format too.
FORMATS: dict[str, ToolFormat] = {
    each.name: each for each in (Mistral(), Hermes(), Pythonic(), Llama3Json())
}
_DEFAULT = FORMATS["hermes"]


def tool_format(template_source: str, named: str | None = None) -> ToolFormat:
    """The format of a model: the one in its settings, else the one that its template uses.

    If the template uses none, the format is `hermes`, and the tools are described in the system
    message.

    Raises:
        SettingsError: if there is no format of that name.
    """
    if named is not None:
        if named not in FORMATS:
            raise SettingsError(
                f"tool_format is {named!r}: choose one of {', '.join(sorted(FORMATS))}"
            )
        return FORMATS[named]
    return next((f for f in FORMATS.values() if f.matches(template_source)), _DEFAULT)
