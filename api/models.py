"""`GET /v1/models` and `GET /v1/models/{id}`."""

from __future__ import annotations

from typing import Any, Literal

from enginehouse.api.json_route import JsonRoute
from enginehouse.api.openapi_types import error_responses
from enginehouse.api.received import caller_of
from enginehouse.api.revision import Served
from enginehouse.api.routing import ModelName
from enginehouse.api.state import State
from fastapi import APIRouter
from pydantic import BaseModel
from starlette.requests import Request

router = APIRouter(route_class=JsonRoute)


class ServedModel(BaseModel):
    """What serves, under our name."""

    version: int
    kind: str
    runtime: str
    context_length: int
    checkpoint_sha256: str
    dimensions: int | None = None
    alias_of: str | None = None


class ModelBody(BaseModel):
    """OpenAI's model object."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    enginehouse: ServedModel


class ModelList(BaseModel):
    """Models that the caller may ask."""

    object: Literal["list"]
    data: list[ModelBody]


@router.get(
    "/v1/models", response_model=None, responses={200: {"model": ModelList}, **error_responses()}
)
async def list_models(request: Request, state: State) -> dict[str, Any]:
    """Models that are served now, their adapters and aliases, as far as the caller may ask them."""
    served = {revision.target.model: revision for revision in state.directory.models()}
    data = []
    for revision in served.values():
        data.append(_model(revision))
        data += [_model(revision, adapter) for adapter in revision.adapters]
    for alias, target in state.names.aliases.items():
        known = served.get(ModelName.parse(target).model)
        if known is not None:
            data.append({**_model(known), "id": alias, "alias_of": target})
    data.sort(key=lambda entry: _place(entry, state.names.default))
    caller = caller_of(request)
    return {
        "object": "list",
        "data": [
            _plain(entry) for entry in data if caller.may_ask(entry.get("alias_of", entry["id"]))
        ],
    }


@router.get(
    "/v1/models/{model:path}",
    response_model=None,
    responses={200: {"model": ModelBody}, **error_responses()},
)
async def get_model(model: str, request: Request, state: State) -> dict[str, Any]:
    """One model, a version or an adapter of it, by its name or an alias."""
    resolved = state.names.resolved(model)
    caller_of(request).check_model(resolved)
    revision, adapter = await state.router.described(resolved)
    found = _model(revision, adapter)
    return found if resolved == model else _plain({**found, "id": model, "alias_of": resolved})


def _place(entry: dict[str, Any], default: str | None) -> tuple[bool, bool]:
    """A stable sort by this puts what answers chats first: many clients take the first model."""
    return entry["id"] != default, entry["enginehouse"]["kind"] != "generator"


def _plain(entry: dict[str, Any]) -> dict[str, Any]:
    """`alias_of` is our extension, so it goes under `enginehouse`."""
    alias_of = entry.pop("alias_of", None)
    if alias_of is not None:
        entry["enginehouse"] = {**entry["enginehouse"], "alias_of": alias_of}
    return entry


def _model(revision: Served, adapter: str | None = None) -> dict[str, Any]:
    """OpenAI's fields, and under our name what serves."""
    name = revision.target.model
    manifest = revision.manifest
    return {
        "id": name if adapter is None else f"{name}:{adapter}",
        "object": "model",
        "created": int(manifest.built_at.timestamp()),
        "owned_by": "enginehouse",
        "enginehouse": {
            "version": revision.target.version,
            "kind": manifest.kind,
            "runtime": f"{manifest.runtime} {manifest.runtime_version}",
            "context_length": manifest.context_length,
            "checkpoint_sha256": manifest.checkpoint.sha256,
            **({"dimensions": manifest.embedding.dimensions} if manifest.embedding else {}),
        },
    }
