"""``ENGINEHOUSE_ENGINE_<FIELD>``: engine settings of this host, over those of a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from enginehouse.manifest import EngineSettings
from enginehouse.settings.rules import Number, OneOf, Rule, Switch, UnusableValueError, Whole

ENGINE_PREFIX = "ENGINEHOUSE_ENGINE_"
_MOST = 10**9


@dataclass(frozen=True)
class EngineSwitch(Switch):
    """`Switch` that takes Python's spellings too, which scripts that set engine settings print."""

    @property
    def takes(self) -> str:
        """See `Rule.takes`."""
        return "true or false (or True, False)"

    def read(self, value: Any) -> Any:
        """See `Rule.read`."""
        return super().read(value.lower() if value in {"True", "False"} else value)


def engine_values(environ: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Engine settings that an environment has, by field, and a sentence for each wrong value.

    Names that are no engine setting are left to `enginehouse.settings.names`.
    """
    changes: dict[str, Any] = {}
    problems: list[str] = []
    for name in EngineSettings.model_fields:
        variable = ENGINE_PREFIX + name.upper()
        value = environ.get(variable)
        if not value:
            continue
        try:
            changes[name] = engine_rule(name).read(value)
        except UnusableValueError as error:
            problems.append(f"{variable}={value!r}: {error.way_out}")
    return changes, problems


@cache
def engine_rule(name: str) -> Rule:
    """The rule for an engine setting, from the type and the bounds that the manifest gives it."""
    schema = EngineSettings.model_json_schema()["properties"][name]
    if "enum" in schema:
        return OneOf(tuple(schema["enum"]))
    match schema["type"]:
        case "boolean":
            return EngineSwitch()
        case "integer":
            return Whole(schema["minimum"], schema.get("maximum", _MOST))
        case "number":
            above = "exclusiveMinimum" in schema
            least = schema["exclusiveMinimum"] if above else schema["minimum"]
            return Number(least, schema.get("maximum", _MOST), above=above)
        case other:
            message = f"no rule for an engine setting of type {other}"
            raise TypeError(message)
