"""A trail on a disk that is full after some records, then is not; prints what was seen as JSON.

The limit is the kernel's own, for the size of files of this process.
"""

from __future__ import annotations

import json
import logging
import resource
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry

from enginehouse.errors import StoreError
from tests.conftest import wait_until
from tests.gateway.audit.audit_parts import event, opened

_LIMIT_BYTES = 2000


def _limit(size_bytes: int) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, most))


def _value(registry: CollectorRegistry, name: str) -> float:
    return registry.get_sample_value(f"enginehouse_audit_{name}") or 0.0


def _main(directory: Path, on_full: str) -> None:
    logging.basicConfig(level=logging.DEBUG)
    config = {"on_full": on_full, "retry_s": 0.01, "queue_records": 10, "content": "text"}
    with opened(directory, **config) as (trail, registry):
        trail.add(event("first"))
        wait_until(lambda: _value(registry, "written_total") == 1, "the first record")
        _limit(_LIMIT_BYTES)
        added = 0
        while not _value(registry, "failing"):
            trail.add(event(f"call-{added}"))
            added += 1
        for place in range(50):
            trail.add(event(f"while-full-{place}"))
        try:
            trail.check()
            refused = ""
        except StoreError as error:
            refused = str(error)
        lost = _value(registry, "lost_total")
        _limit(resource.RLIM_INFINITY)
        wait_until(lambda: not _value(registry, "failing"), "the disk")
        trail.check()
        trail.add(event("after"))
    print(json.dumps({"added": added + 52, "refused": refused, "lost": lost}))


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2])
