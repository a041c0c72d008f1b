"""Requests and answers of `/v1/files` and `/v1/batches`.

The models of answers are for the OpenAPI document only; answers are not validated with them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from enginehouse.api.boundary import RequestModel
from enginehouse.api.schemas import Metadata
from enginehouse.gateway.paths import Id
from pydantic import BaseModel, Field

_HOUR_S, _MONTH_S = 3_600, 2_592_000
Seconds = Annotated[int, Field(ge=_HOUR_S, le=_MONTH_S)]


class ExpiresAfter(RequestModel):
    """When result files expire: seconds after they were created."""

    anchor: Literal["created_at"]
    seconds: Seconds


class BatchRequest(RequestModel):
    """`POST /v1/batches`."""

    input_file_id: Id
    endpoint: Literal["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"]
    completion_window: Literal["24h"]
    metadata: Metadata | None = None
    output_expires_after: ExpiresAfter | None = None


class FileObject(BaseModel):
    """A file."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: Literal["batch", "batch_output"]
    status: Literal["processed"]
    status_details: None


class FileList(BaseModel):
    """A page of files."""

    object: Literal["list"]
    data: list[FileObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedFile(BaseModel):
    """Confirmation of a deletion."""

    id: str
    object: Literal["file"]
    deleted: bool = Field(description="always true")


class BatchError(BaseModel):
    """An error in a batch's input file."""

    code: str
    line: int | None
    message: str
    param: str | None


class BatchErrors(BaseModel):
    """Errors in a batch's input file, as far as it was read."""

    object: Literal["list"]
    data: list[BatchError]


class RequestCounts(BaseModel):
    """Numbers of lines; lines that are neither completed nor failed have not been run."""

    total: int
    completed: int
    failed: int


class BatchObject(BaseModel):
    """A batch; times are in seconds since 1970."""

    id: str
    object: Literal["batch"]
    endpoint: str
    model: str | None
    errors: BatchErrors | None
    input_file_id: str
    completion_window: Literal["24h"]
    status: Literal[
        "validating",
        "failed",
        "in_progress",
        "finalizing",
        "completed",
        "expired",
        "cancelling",
        "cancelled",
    ]
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    usage: dict[str, Any]
    metadata: dict[str, str] | None


class BatchList(BaseModel):
    """A page of batches."""

    object: Literal["list"]
    data: list[BatchObject]
    first_id: str | None
    last_id: str | None
    has_more: bool
