"""A batch's output and error files, in OpenAI's format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
from enginehouse.gateway.batches.files import FileStore, StoredFile, new_file_id
from enginehouse.gateway.batches.tables import BatchStatus, LineState
from enginehouse.gateway.batches.work import WorkStore
from sqlalchemy import Row

#: Final status of a batch → code and message for lines that were not run.
_UNRUN = {
    BatchStatus.EXPIRED: (
        "batch_expired",
        "the completion window ended before this request was run: send it in another batch",
    ),
    BatchStatus.CANCELLED: (
        "batch_cancelled",
        "the batch was cancelled before this request was run",
    ),
}


def request_id(batch_id: str, line: int) -> str:
    """A line's request id, in its result and in logs."""
    return f"batch_req_{batch_id.removeprefix('batch_')}_{line}"


def write_results(
    work: WorkStore, files: FileStore, batch: Row[Any], status: BatchStatus
) -> tuple[StoredFile | None, StoredFile | None]:
    """Write the output and error files; an empty one is left out. Blocks.

    Args:
        status: final status of the batch.

    Raises:
        StoreError: if the folder or the database fails.
    """
    if not batch.total:
        # The batch was cancelled before its lines were validated.
        return None, None
    good = (LineState.COMPLETED,)
    bad = (LineState.FAILED, LineState.PENDING)
    return (
        _file(files, batch, "output", _lines(work, batch.id, good, status)),
        _file(files, batch, "error", _lines(work, batch.id, bad, status)),
    )


def _file(
    files: FileStore, batch: Row[Any], kind: str, lines: Iterator[bytes]
) -> StoredFile | None:
    name = new_file_id()
    size = files.write(name, lines)
    if not size:
        files.path(name).unlink()
        return None
    filename = f"{batch.id}_{kind}.jsonl"
    return files.described(
        name, batch.tenant, filename, "batch_output", size, batch.outputs_expire_s
    )


def _lines(
    work: WorkStore, batch_id: str, states: tuple[LineState, ...], status: BatchStatus
) -> Iterator[bytes]:
    for row in work.results(batch_id, states):
        yield orjson.dumps(_result(row, status), option=orjson.OPT_APPEND_NEWLINE)


def _result(row: Row[Any], status: BatchStatus) -> dict[str, Any]:
    name = request_id(row.batch_id, row.line)
    response = error = None
    if row.answer is None:
        code, message = _UNRUN[status]
        error = {"code": code, "message": message}
    else:
        body = orjson.Fragment(row.answer)
        response = {"status_code": row.status_code, "request_id": name, "body": body}
    return {"id": name, "custom_id": row.custom_id, "response": response, "error": error}
