"""Section `batches` of the endpoint's file."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

_MIB = 1_048_576
_Positive = Annotated[float, Field(gt=0)]
_Count = Annotated[int, Field(ge=1)]


class BatchesConfig(BaseModel):
    """Files and batches.

    Attributes:
        run: whether this adapter runs batches. If not, it still accepts them for other adapters.
        max_file_bytes: most bytes of one uploaded file; 100 MiB.
        max_tenant_bytes: most bytes of all files of a tenant; 10 GiB.
        keep_s: seconds after which files without an expiry of their own, and ended batches, are
            removed; 30 days.
        max_lines: most requests in one batch.
        max_line_bytes: most bytes of one request; the routes' limit of the body applies too.
        max_open: most batches of a tenant that have not ended.
        concurrency: most lines that this adapter runs at once, over all batches.
        batches_at_once: most batches that this adapter runs at once; others wait in their order.
        lease_s: seconds without a sign of life after which another adapter takes over a batch. The
            clocks of adapters that share a database must agree to within a small part of it.
        poll_s: seconds between two searches for batches without a running adapter.
        retry_base_s: longest delay in seconds before a line rejected under load is first retried;
            it doubles with each retry.
        retry_most_s: longest delay in seconds before any retry.
        sweep_every_s: seconds between two removals of expired files and batches.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: bool = True
    max_file_bytes: _Count = 100 * _MIB
    max_tenant_bytes: _Count = 10_240 * _MIB
    keep_s: _Positive = 2_592_000.0
    max_lines: _Count = 50_000
    max_line_bytes: _Count = _MIB
    max_open: _Count = 100
    concurrency: _Count = 4
    batches_at_once: _Count = 4
    lease_s: _Positive = 60.0
    poll_s: _Positive = 5.0
    retry_base_s: _Positive = 1.0
    retry_most_s: _Positive = 60.0
    sweep_every_s: _Positive = 3_600.0
