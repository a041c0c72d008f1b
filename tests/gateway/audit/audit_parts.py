"""Trails for the audit tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from enginehouse.gateway.audit.chain import AuditChain
from enginehouse.gateway.audit.config import AuditConfig
from enginehouse.gateway.audit.digests import AuditTexts
from enginehouse.gateway.audit.records import AuditRecord, AuditRecordKind, instance_files
from enginehouse.gateway.audit.trail import AuditEvent, AuditTrail
from enginehouse.gateway.audit.verify import records_of
from prometheus_client import CollectorRegistry

KEY = b"a key of the tests"


def event(name: str, **fields: Any) -> AuditEvent:
    return AuditEvent(
        1_790_000_000.0, {"id": name, **fields}, AuditTexts([], ["asked"], {0: ["answered"]})
    )


@contextmanager
def opened(directory: Path, **config: Any) -> Iterator[tuple[AuditTrail, CollectorRegistry]]:
    registry = CollectorRegistry()
    trail = AuditTrail(
        directory, AuditConfig.model_validate({"enabled": True, **config}), KEY, registry
    )
    try:
        yield trail, registry
    finally:
        trail.close()


def all_files(directory: Path) -> list[Path]:
    return [path for files in instance_files(directory).values() for path in files.values()]


def all_records(directory: Path) -> list[AuditRecord]:
    return [record for path in all_files(directory) for _, record in records_of(path)]


def boot(directory: Path, *names: str, clean: bool = True) -> None:
    """One adapter's life: its calls, then its end, in order or not."""
    chain = AuditChain(directory, "adapter", rotate_bytes=1 << 30)
    chain.append([(AuditRecordKind.CALL, 1_790_000_000.0, {"id": name}) for name in names])
    if clean:
        chain.close()


def ids(directory: Path) -> list[str]:
    return [str(r.fields["id"]) for r in all_records(directory) if r.kind is AuditRecordKind.CALL]
