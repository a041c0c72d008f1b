"""Reads and validates YAML files of users: rollouts and experiments."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from enginehouse.errors import SpecError

_Spec = TypeVar("_Spec", bound=BaseModel)

#: Maximum length of an invalid value in an error message, in characters.
_MOST_SHOWN = 80


def read_yaml(path: Path) -> object:
    """The content of a YAML (or JSON, which is YAML) file.

    Raises:
        SpecError: if it cannot be read, or is not YAML.
    """
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"{path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise SpecError(f"{path} is not YAML: {error}") from None


def checked(kind: type[_Spec], raw: object, where: str) -> _Spec:
    """Validate raw data as a specification.

    Raises:
        SpecError: names the field, its value and what it accepts.
    """
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(item) for item in first["loc"]) or "the file"
        given = repr(first["input"])
        given = given if len(given) <= _MOST_SHOWN else f"{given[:_MOST_SHOWN]}…"
        shown = "" if first["type"] == "missing" else f", not {given}"
        message = first["msg"].removeprefix("Value error, ")
        raise SpecError(f"{where}: {field}: {message}{shown}") from None
