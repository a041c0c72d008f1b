"""`GET /v1/models` and `GET /v1/models/{id}`."""

from __future__ import annotations

from typing import Any

from enginehouse.api.directory import Served
from enginehouse.api.state import State
from fastapi import APIRouter

router = APIRouter()


@router.get("/v1/models")
async def list_models(state: State) -> dict[str, Any]:
    """Models that are served now."""
    return {"object": "list", "data": [_model(r) for r in state.directory.models()]}


@router.get("/v1/models/{model}")
async def get_model(model: str, state: State) -> dict[str, Any]:
    """One model."""
    return _model(await state.directory.served(model))


def _model(revision: Served) -> dict[str, Any]:
    """OpenAI's fields, and under our name what serves."""
    manifest = revision.manifest
    return {
        "id": revision.target.model,
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
