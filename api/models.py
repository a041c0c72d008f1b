"""`GET /v1/models` and `GET /v1/models/{id}`."""

from __future__ import annotations

from typing import Any

from enginehouse.api.revision import Served
from enginehouse.api.state import State
from fastapi import APIRouter

router = APIRouter()


@router.get("/v1/models")
async def list_models(state: State) -> dict[str, Any]:
    """Models that are served now."""
    data = []
    for revision in state.directory.models():
        data.append(_model(revision))
        data += [_model(revision, adapter) for adapter in revision.adapters]
    return {"object": "list", "data": data}


@router.get("/v1/models/{model}")
async def get_model(model: str, state: State) -> dict[str, Any]:
    """One model, a version or an adapter of it."""
    revision, adapter = await state.router.described(model)
    return _model(revision, adapter)


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
