"""A record as a line: JSON whose last field is the hash of all that stands before it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from enginehouse.errors import AuditTrailError

#: `prev` of the first record of all.
GENESIS = "0" * 64
_NAME = re.compile(r"audit-(?P<instance>[a-z0-9_]+(?:-\d+)?)-(?P<number>\d{6,})\.jsonl")
_ENDING = re.compile(rb',"hash":"(?P<hash>[0-9a-f]{64})"\}\n')
_ENDING_BYTES = len(',"hash":""}\n') + len(GENESIS)


class AuditRecordKind(StrEnum):
    """What a record is about.

    Attributes:
        OPEN: the first of each file; says what the file before ended with.
        CALL: one call.
        GAP: records that could not be written.
        ROTATE: the last of a file that has a successor.
        CLOSE: the last of a file whose adapter ended in order.
    """

    OPEN = "open"
    CALL = "call"
    GAP = "gap"
    ROTATE = "rotate"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class ChainLink:
    """A place in a chain: the number and the hash of its newest record."""

    seq: int = 0
    hash: str = GENESIS


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One record as it was read.

    Attributes:
        fields: all of it but `hash`.
    """

    kind: AuditRecordKind
    link: ChainLink
    prev: str
    fields: Mapping[str, Any]


def encode(
    kind: AuditRecordKind, at: float, fields: Mapping[str, Any], after: ChainLink
) -> tuple[bytes, ChainLink]:
    """A line with its line feed, and the place in the chain that it takes.

    Args:
        at: seconds since 1970 UTC.
        after: the record before.
    """
    seq = after.seq + 1
    whole = {"seq": seq, "at": round(at, 6), "kind": kind, **fields, "prev": after.hash}
    # ASCII alone: what a caller sent may hold halves of characters, which are not UTF-8.
    body = json.dumps(whole, separators=(",", ":"), default=str).encode("ascii")
    digest = hashlib.sha256(body).hexdigest()
    return body[:-1] + f',"hash":"{digest}"}}\n'.encode("ascii"), ChainLink(seq, digest)


def decode(line: bytes) -> AuditRecord:
    """The record of a line, line feed included.

    Raises:
        AuditTrailError: if it is not a record, or not what its hash was made of.
    """
    ending = _ENDING.fullmatch(line[-_ENDING_BYTES:])
    if ending is None:
        raise AuditTrailError("it does not end with a hash")
    body = line[:-_ENDING_BYTES] + b"}"
    digest = hashlib.sha256(body).hexdigest()
    if digest != ending["hash"].decode("ascii"):
        raise AuditTrailError("it is not what its hash was made of: it was changed")
    try:
        fields = json.loads(body)
        return AuditRecord(
            AuditRecordKind(fields["kind"]),
            ChainLink(fields["seq"], digest),
            fields["prev"],
            fields,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise AuditTrailError("its hash is right, and it is no record") from error


def file_name(instance: str, number: int) -> str:
    """Name of an instance's file; numbers begin with 1."""
    return f"audit-{instance}-{number:06d}.jsonl"


def head_name(instance: str) -> str:
    """Name of the file that remembers a hash of the newest file."""
    return f"audit-{instance}.head"


def lock_name(instance: str) -> str:
    """Name of the file that the adapter which writes holds locked."""
    return f".audit-{instance}.lock"


def instance_files(directory: Path) -> dict[str, dict[int, Path]]:
    """Instance → number → file, numbers ascending."""
    found: dict[str, dict[int, Path]] = {}
    for path in directory.glob("audit-*.jsonl"):
        name = _NAME.fullmatch(path.name)
        if name is not None:
            found.setdefault(name["instance"], {})[int(name["number"])] = path
    return {instance: dict(sorted(files.items())) for instance, files in sorted(found.items())}
