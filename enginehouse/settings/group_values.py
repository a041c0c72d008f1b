"""The values that an environment has for a group of settings, and the words of a refusal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic.dataclasses import is_pydantic_dataclass

from enginehouse.settings.names import is_service_link
from enginehouse.settings.rules import UnusableValueError
from enginehouse.settings.variable import group_fields, variables
from enginehouse.urls import shown


def given(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that are set: an empty one counts as unset."""
    return {name: value for name, value in environ.items() if value}


def values_of(group: Any, variables_given: Mapping[str, str]) -> dict[str, Any]:
    """What an environment has for a group: text by variable, groups inside by their field."""
    values: dict[str, Any] = {}
    for name, field in group_fields(group).items():
        if is_pydantic_dataclass(field.annotation):  # type: ignore[arg-type]
            values[name] = values_of(field.annotation, variables_given)
        elif field.validation_alias in variables_given:
            values[str(field.validation_alias)] = variables_given[str(field.validation_alias)]
    return values


def refusals(error: ValidationError, environ: Mapping[str, str]) -> dict[str, str]:
    """A sentence for each variable that validation refused."""
    takes = {variable.name: variable for variable in variables()}
    refused: dict[str, str] = {}
    for item in error.errors(include_url=False):
        name = str(item["loc"][-1])
        value = environ.get(name, "")
        cause = item.get("ctx", {}).get("error")
        way_out = f"give {takes[name].takes}"
        text = repr(shown(value))
        if isinstance(cause, UnusableValueError):
            way_out, text = cause.way_out, cause.shown or text
        if takes[name].secret:
            text = "***"
        if is_service_link(name, value, environ):
            way_out += (
                "; Kubernetes has set it for a service of that name: set enableServiceLinks: false "
                "in the pod's spec"
            )
        refused[name] = f"{name}={text}: {way_out}"
    return refused
