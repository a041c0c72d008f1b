"""Answers calls through the real ledger and says on stdout which have ended; made to be killed."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.gateway.ledger.ledger_calls import drain, engine, new_call, opened

_SIDE_BY_SIDE = 8


async def _main(url: str, directory: str, first: int, last: int, confirm: str) -> None:
    ids = iter(range(first, last))

    async def caller() -> None:
        for number in ids:
            call = new_call(f"call-{number:05d}", at=1_790_000_000.0)
            await drain(ledger, call, engine(["a", "b", "c"]))
            # The answer is out: what is said here must be in the ledger, whatever happens.
            os.write(1, f"{call.id}\n".encode())

    async with opened(url, Path(directory), confirm=confirm) as (ledger, _):
        await asyncio.gather(*(caller() for _ in range(_SIDE_BY_SIDE)))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]))
