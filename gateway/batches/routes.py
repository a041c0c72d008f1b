"""Routes of the Files and Batch APIs, `/v1/files` and `/v1/batches`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from enginehouse.api.json_route import JsonRoute
from enginehouse.api.openapi_types import ErrorBody, error_responses
from enginehouse.api.received import caller_of
from enginehouse.gateway.batches.open import BatchServices
from enginehouse.gateway.batches.schemas import (
    BatchList,
    BatchObject,
    BatchRequest,
    DeletedFile,
    FileList,
    FileObject,
)
from enginehouse.gateway.batches.uploads import UPLOAD_FORM, uploaded
from enginehouse.gateway.paths import Id
from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

router = APIRouter(route_class=JsonRoute)
_CONFLICT: dict[str, Any] = {"model": ErrorBody, "description": "It has ended already."}
_ERRORS = {**error_responses(), 409: _CONFLICT}


async def _batches(request: Request) -> BatchServices:
    batches: BatchServices = request.app.state.batches
    return batches


State = Annotated[BatchServices, Depends(_batches)]


def _listed(data: Sequence[Mapping[str, Any]], *, more: bool) -> JSONResponse:
    return JSONResponse(
        {
            "object": "list",
            "data": data,
            "first_id": data[0]["id"] if data else None,
            "last_id": data[-1]["id"] if data else None,
            "has_more": more,
        }
    )


@router.post(
    "/v1/files",
    response_model=None,
    responses={200: {"model": FileObject}, **_ERRORS},
    openapi_extra=UPLOAD_FORM,
)
async def upload_file(request: Request, state: State) -> Response:
    """Upload a file of requests for a batch.

    Raises:
        InvalidRequestError: if a field is wrong or the file is too large.
    """
    tenant = caller_of(request).tenant
    async with uploaded(request) as upload:
        file = await state.files.add(
            tenant, upload.filename, upload.source, expires_s=upload.expires_s
        )
    return JSONResponse(file.as_json())


@router.get("/v1/files", response_model=None, responses={200: {"model": FileList}, **_ERRORS})
async def list_files(
    request: Request,
    state: State,
    after: Id | None = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    order: Literal["asc", "desc"] = "desc",
    purpose: Annotated[str | None, Query(max_length=32)] = None,
) -> Response:
    """List the tenant's files.

    Raises:
        NotFoundError: if there is no file `after`.
    """
    files, more = await state.files.page(
        caller_of(request).tenant,
        after=after,
        limit=limit,
        newest_first=order == "desc",
        purpose=purpose,
    )
    return _listed([file.as_json() for file in files], more=more)


@router.get(
    "/v1/files/{file_id}", response_model=None, responses={200: {"model": FileObject}, **_ERRORS}
)
async def get_file(file_id: Id, request: Request, state: State) -> Response:
    """Metadata of a file.

    Raises:
        NotFoundError: if the tenant has no such file.
    """
    file = await state.files.get(caller_of(request).tenant, file_id)
    return JSONResponse(file.as_json())


@router.get(
    "/v1/files/{file_id}/content",
    response_model=None,
    responses={
        200: {
            "content": {"application/octet-stream": {"schema": {"type": "string"}}},
            "description": "What the file holds.",
        },
        **_ERRORS,
    },
)
async def get_file_content(file_id: Id, request: Request, state: State) -> Response:
    """Content of a file.

    Raises:
        NotFoundError: if the tenant has no such file.
        StoreError: if this adapter does not have its content.
    """
    file = await state.files.get(caller_of(request).tenant, file_id)
    path = await asyncio.to_thread(state.files.readable, file)
    return FileResponse(path, media_type="application/octet-stream", filename=file.filename)


@router.delete(
    "/v1/files/{file_id}", response_model=None, responses={200: {"model": DeletedFile}, **_ERRORS}
)
async def delete_file(file_id: Id, request: Request, state: State) -> Response:
    """Delete a file.

    Raises:
        NotFoundError: if the tenant has no such file.
    """
    await state.files.delete(caller_of(request).tenant, file_id)
    return JSONResponse({"id": file_id, "object": "file", "deleted": True})


@router.post("/v1/batches", response_model=None, responses={200: {"model": BatchObject}, **_ERRORS})
async def create_batch(body: BatchRequest, request: Request, state: State) -> Response:
    """Create a batch, whose requests are run within its completion window.

    Raises:
        InvalidRequestError: if there is no such file for batches.
        RateLimitError: if too many batches of the tenant have not ended.
    """
    expires = body.output_expires_after
    batch = await state.store.create(
        caller_of(request),
        endpoint=body.endpoint,
        input_file_id=body.input_file_id,
        window=body.completion_window,
        metadata=body.metadata,
        outputs_expire_s=None if expires is None else float(expires.seconds),
    )
    state.wake()
    return JSONResponse(batch)


@router.get("/v1/batches", response_model=None, responses={200: {"model": BatchList}, **_ERRORS})
async def list_batches(
    request: Request,
    state: State,
    after: Id | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> Response:
    """List the tenant's batches, newest first.

    Raises:
        NotFoundError: if there is no batch `after`.
    """
    tenant = caller_of(request).tenant
    batches, more = await state.store.page(tenant, after=after, limit=limit)
    return _listed(batches, more=more)


@router.get(
    "/v1/batches/{batch_id}",
    response_model=None,
    responses={200: {"model": BatchObject}, **_ERRORS},
)
async def get_batch(batch_id: Id, request: Request, state: State) -> Response:
    """State and progress of a batch.

    Raises:
        NotFoundError: if the tenant has no such batch.
    """
    return JSONResponse(await state.store.get(caller_of(request).tenant, batch_id))


@router.post(
    "/v1/batches/{batch_id}/cancel",
    response_model=None,
    responses={200: {"model": BatchObject}, **_ERRORS},
)
async def cancel_batch(batch_id: Id, request: Request, state: State) -> Response:
    """Cancel a batch: no further line is started, and running lines are finished and kept.

    Raises:
        NotFoundError: if the tenant has no such batch.
        ConflictError: if it has ended, or its results are being written.
    """
    batch = await state.store.cancel(caller_of(request).tenant, batch_id)
    state.wake(batch_id)
    return JSONResponse(batch)
