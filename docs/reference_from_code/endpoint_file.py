"""Every section and field of the endpoint's file, from the models that read it."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from enum import Enum
from typing import Any

from enginehouse.api.configuration import endpoint_model
from enginehouse.api.registration import registered
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from docs.reference_from_code.markdown import attributes, code, sentence, table

_HEAD = """# Fields of the endpoint's file

Made from the models that read it. `ENGINEHOUSE_ENDPOINT_FILE` names the file; without it,
`endpoint.yaml` in the home is read if it exists. Every section is optional. An unknown field or
a wrong value ends the start with its name. What the sections do: [the endpoint's
file](../endpoint.md).

"""
_BOUNDS = {"gt": "more than", "ge": "at least", "lt": "less than", "le": "at most"}


def page() -> str:
    """The page of all sections."""
    shown: dict[type, str] = {}
    sections = endpoint_model(registered()).model_fields.items()
    found = [each for name, field in sections for each in _nested(name, field.annotation)]
    return _HEAD + "\n".join(_section(path, model, shown) for path, model in found)


def _nested(path: str, annotation: Any) -> Iterator[tuple[str, type[BaseModel]]]:
    """Every model below a field with its path."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield path, annotation
        for name, field in annotation.model_fields.items():
            yield from _nested(f"{path}.{name}", field.annotation)
        return
    origin = typing.get_origin(annotation)
    step = ""
    if isinstance(origin, type) and issubclass(origin, Mapping):
        step = ".NAME"
    elif isinstance(origin, type) and issubclass(origin, list | tuple):
        step = "[]"
    for each in typing.get_args(annotation):
        yield from _nested(path + step, each)


def _section(path: str, model: type[BaseModel], shown: dict[type, str]) -> str:
    chosen = model.model_fields.get("type")
    kind = typing.get_args(chosen.annotation) if chosen else ()
    title = f"{path}, type {kind[0]}" if kind else path
    head = f"{'###' if re.search(r'[^a-z_]', path) else '##'} {title}\n\n"
    if model in shown:
        return f"{head}The same fields as `{shown[model]}`.\n"
    shown[model] = title
    told = _attributes(model)
    rows = [_row(name, field, told) for name, field in model.model_fields.items()]
    fields = table(["field", "type", "default", "meaning"], rows)
    return f"{head}{sentence(model.__doc__ or '')}\n\n{fields}"


def _attributes(model: type[BaseModel]) -> dict[str, str]:
    told: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if issubclass(owner, BaseModel) and owner is not BaseModel:
            told |= attributes(owner)
    return told


def _row(name: str, field: FieldInfo, told: dict[str, str]) -> list[str]:
    takes = ", ".join([_type(field.annotation), *_bounds(field)])
    meaning = field.description or told.get(name, "")
    return [code(field.alias or name), takes, _default(field), meaning]


def _bounds(field: FieldInfo) -> Iterator[str]:
    for each in field.metadata:
        for name, words in _BOUNDS.items():
            if (value := getattr(each, name, None)) is not None:
                yield f"{words} {value}"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined or isinstance(value, BaseModel) or value in ((), {}, frozenset()):
        return ""
    if isinstance(value, AbstractSet | tuple | list):
        return ", ".join(
            code(_plain(each))
            for each in (sorted(value) if isinstance(value, AbstractSet) else value)
        )
    return "none" if value is None else code(_plain(value))


def _plain(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return value.value if isinstance(value, Enum) else value


def _type(annotation: Any) -> str:
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return ", ".join(map(code, inner))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(_type(each) for each in inner if each is not type(None)))
    if origin is typing.Annotated:
        return _type(inner[0])
    if isinstance(origin, type) and inner:
        kind = "mapping" if issubclass(origin, Mapping) else "list"
        return f"{kind} of {_type(inner[-1] if kind == 'mapping' else inner[0])}"
    return _plain_type(annotation)


def _plain_type(annotation: Any) -> str:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(code(each.value) for each in annotation)
    return str(getattr(annotation, "__name__", annotation))
