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
        run: whether this adapter runs batches; one that does not still takes them for others.
        max_file_bytes: of one uploaded file, in bytes; 100 MiB.
        max_tenant_bytes: of all files of a tenant together, in bytes; 10 GiB.
        keep_s: seconds until a file that says nothing else, and a batch that has ended, are
            removed; 30 days.
        max_lines: requests in one batch.
        max_line_bytes: of one request, in bytes; the routes' own limit of a body holds too.
        max_open: batches of a tenant that have not ended.
        concurrency: lines that this adapter runs at once, over all batches.
        batches_at_once: batches that this adapter works on at once; the others wait in their order.
        lease_s: seconds after which another adapter takes a batch whose adapter is silent. The
            clocks of adapters that share a database must agree to within a small part of it.
        poll_s: seconds between two looks for batches that nobody works on.
        retry_base_s: most seconds before the first repetition of a line that was refused for load;
            it doubles each time.
        retry_most_s: most seconds before any repetition.
        sweep_every_s: seconds between two removals of what is past its time.
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
