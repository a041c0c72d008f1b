"""Reads `TensorRtLlmSettings` from a settings file and command-line options."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from enginehouse.engine.tensorrt_llm_settings import TensorRtLlmSettings
from pydantic import ValidationError

from enginehouse.errors import BuildError


def tensorrt_llm_settings(
    file: Path | None, overrides: Mapping[str, object | None]
) -> TensorRtLlmSettings:
    """The settings of a JSON or YAML file, overridden by options.

    Args:
        file: the settings file, if there is one.
        overrides: values by dotted field (``parallel.tensor``); None means not given.

    Raises:
        BuildError: names the field that is invalid.
    """
    content = {} if file is None else _read(file)
    for field, value in overrides.items():
        if value is not None:
            _put(content, field.split("."), value)
    try:
        return TensorRtLlmSettings.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(item) for item in first["loc"])
        message = str(first["msg"]).removeprefix("Value error, ")
        raise BuildError(f"field {where!r}: {message}" if where else message) from None


def _read(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BuildError(f"--tensorrt-llm-config {file}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise BuildError(f"--tensorrt-llm-config {file}: not JSON or YAML: {error}") from error
    if not isinstance(content, dict):
        raise BuildError(f"--tensorrt-llm-config {file}: expected fields of the settings")
    return content


def _put(content: dict[str, Any], path: list[str], value: object) -> None:
    for name in path[:-1]:
        content = content.setdefault(name, {})
    content[path[-1]] = value
