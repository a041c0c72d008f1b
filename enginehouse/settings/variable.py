"""The list of all variables, made from the fields of the groups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic.dataclasses import is_pydantic_dataclass
from pydantic.fields import FieldInfo

from enginehouse.manifest import EngineSettings
from enginehouse.settings.groups import (
    ClientSettings,
    MeasurementSettings,
    SuiteSettings,
)
from enginehouse.settings.overrides import ENGINE_PREFIX, engine_rule
from enginehouse.settings.process import Settings
from enginehouse.settings.rules import Phrase, Rule, Token

#: Groups that are read as a whole; `Settings` has further groups inside.
GROUPS = (Settings, ClientSettings, MeasurementSettings, SuiteSettings)


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable.

    Attributes:
        group: name of the class whose field it is.
        field: the field's name.
        takes: what it accepts, to stand behind "give".
        default: as it would be written in the environment; None if it is unset by default.
        secret: whether its value is never shown.
    """

    name: str
    group: str
    field: str
    description: str
    takes: str
    default: str | None
    secret: bool


@cache
def variables() -> tuple[Variable, ...]:
    """All variables that Enginehouse reads, those of engine settings last."""
    own = tuple(found for group in GROUPS for found in _of(group))
    return own + tuple(_engine(name, field) for name, field in EngineSettings.model_fields.items())


def group_fields(group: Any) -> dict[str, FieldInfo]:
    """The fields of a group."""
    found: dict[str, FieldInfo] = group.__pydantic_fields__
    return found


def _of(group: Any) -> Iterator[Variable]:
    """A group's own variables, then those of the groups inside."""
    fields = group_fields(group).items()
    inner = [field for _, field in fields if is_pydantic_dataclass(field.annotation)]  # type: ignore[arg-type]
    for name, field in fields:
        if field not in inner:
            yield _variable(group.__name__, name, field)
    for field in inner:
        yield from _of(field.annotation)


def _variable(group: str, name: str, field: FieldInfo) -> Variable:
    rule = next(item for item in field.metadata if isinstance(item, Rule))
    # A phrase that is not given stands for no word that could be written.
    unset = isinstance(rule, Phrase)
    return Variable(
        name=str(field.validation_alias),
        group=group,
        field=name,
        description=field.description or "",
        takes=rule.takes,
        default=None if field.is_required() or unset else _written(field.default),
        secret=isinstance(rule, Token),
    )


def _engine(name: str, field: FieldInfo) -> Variable:
    return Variable(
        name=ENGINE_PREFIX + name.upper(),
        group="EngineSettings",
        field=name,
        description=field.description or f"Overrides the engine setting `{name}` of a bundle.",
        takes=engine_rule(name).takes,
        default=None,
        secret=False,
    )


def _written(value: Any) -> str | None:
    if value is None or value == ():
        return None
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
