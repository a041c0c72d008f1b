"""Adds events for ever and says how many are written; made to be killed."""

from __future__ import annotations

import itertools
import os
import sys
from pathlib import Path

from tests.conftest import wait_until
from tests.gateway.audit.audit_parts import event, opened


def _main(directory: Path, fsync: str) -> None:
    with opened(directory, fsync=fsync) as (trail, registry):

        def written() -> int:
            return int(registry.get_sample_value("enginehouse_audit_written_total") or 0)

        for place in itertools.count():
            trail.add(event(f"call-{place}"))
            if place % 100 == 99:
                wait_until(lambda least=place - 50: written() >= least, "the disk")
                os.write(1, f"{written()}\n".encode())


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2])
