"""An audit record as a line of JSON, whose last field is the hash of everything before it."""

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

#: `prev` of the very first record.
GENESIS = "0" * 64
_NAME = re.compile(r"audit-(?P<instance>[a-z0-9_]+(?:-\d+)?)-(?P<number>\d{6,})\.jsonl")
_ENDING = re.compile(rb',"hash":"(?P<hash>[0-9a-f]{64})"\}\n')
_ENDING_BYTES = len(',"hash":""}\n') + len(GENESIS)


class AuditRecordKind(StrEnum):
    """What a record is about.

    Attributes:
        OPEN: first record of each file; says how the previous file ended.
        CALL: one call.
        GAP: number of records that could not be written.
        ROTATE: last record of a file that is followed by another.
        CLOSE: last record of a file whose adapter was shut down in order.
    """

    OPEN = "open"
    CALL = "call"
    GAP = "gap"
    ROTATE = "rotate"
    CLOSE = "close"


@dataclass(frozen=True, slots=True)
class ChainLink:
    """A position in a chain: sequence number and hash of its newest record."""

    seq: int = 0
    hash: str = GENESIS


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One record that was read.

    Attributes:
        fields: all fields except `hash`.
    """

    kind: AuditRecordKind
    link: ChainLink
    prev: str
    fields: Mapping[str, Any]


def encode(
    kind: AuditRecordKind, at: float, fields: Mapping[str, Any], after: ChainLink
) -> tuple[bytes, ChainLink]:
    """Encode a line with its line feed; also returns its position in the chain.

    Args:
        at: seconds since 1970 UTC.
        after: position of the previous record.
    """
    seq = after.seq + 1
    whole = {"seq": seq, "at": round(at, 6), "kind": kind, **fields, "prev": after.hash}
    # ASCII only: a caller's text may contain lone surrogates, which UTF-8 cannot encode.
    body = json.dumps(whole, separators=(",", ":"), default=str).encode("ascii")
    digest = hashlib.sha256(body).hexdigest()
    return body[:-1] + f',"hash":"{digest}"}}\n'.encode("ascii"), ChainLink(seq, digest)


def decode(line: bytes) -> AuditRecord:
    """Decode a line, line feed included.

    Raises:
        AuditTrailError: if it is not a record, or its content does not match its hash.
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
        raise AuditTrailError("its hash is correct, but it is not an audit record") from error


def file_name(instance: str, number: int) -> str:
    """Name of an instance's file; numbers begin with 1."""
    return f"audit-{instance}-{number:06d}.jsonl"


def head_name(instance: str) -> str:
    """Name of the file with the hash of the newest record."""
    return f"audit-{instance}.head"


def lock_name(instance: str) -> str:
    """Name of the file that the writing adapter keeps locked."""
    return f".audit-{instance}.lock"


def instance_files(directory: Path) -> dict[str, dict[int, Path]]:
    """Instance → number → file, numbers ascending."""
    found: dict[str, dict[int, Path]] = {}
    for path in directory.glob("audit-*.jsonl"):
        name = _NAME.fullmatch(path.name)
        if name is not None:
            found.setdefault(name["instance"], {})[int(name["number"])] = path
    return {instance: dict(sorted(files.items())) for instance, files in sorted(found.items())}
