"""Verification of an audit trail."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from enginehouse.gateway.audit.chain import ending_of, is_held
from enginehouse.gateway.audit.records import (
    GENESIS,
    AuditRecord,
    AuditRecordKind,
    ChainLink,
    decode,
    file_name,
    head_name,
    instance_files,
)

from enginehouse.errors import AuditTrailError

_ENDS = {AuditRecordKind.CLOSE, AuditRecordKind.ROTATE}


def _broken(file: str, line: int, what: str) -> AuditTrailError:
    return AuditTrailError(f"{file}:{line}: {what}")


@dataclass(frozen=True, slots=True)
class ChainHead:
    """Newest record of one instance."""

    instance: str
    file: str
    link: ChainLink


@dataclass(frozen=True, slots=True)
class VerifiedTrail:
    """Result of a successful verification.

    Attributes:
        lost: records that gap records report as never written.
        crashes: files without a closing record whose next file reports that.
        open: instances whose newest file has no closing record.
    """

    heads: tuple[ChainHead, ...]
    records: int
    lost: int
    crashes: int
    open: tuple[str, ...]


@dataclass(slots=True)
class _Walk:
    """State of the reader of one instance."""

    directory: Path
    instance: str
    allow_open: bool
    link: ChainLink = field(default_factory=ChainLink)
    last: AuditRecordKind | None = None
    before: str | None = None
    torn_bytes: int = 0
    records: int = 0
    lost: int = 0
    crashes: int = 0
    wanted: set[str] = field(default_factory=set)


def verify(
    directory: Path,
    *,
    heads: Collection[str] = (),
    bases: Collection[str] = (),
    allow_open: bool = False,
) -> VerifiedTrail:
    """Read every record and check that nothing was changed, moved or removed.

    Args:
        heads: hashes stored elsewhere; each must be in the trail.
        bases: hashes of the last records of archived files. If the first file is not number 1, it
            must continue from one of them.
        allow_open: whether a trail may end without a closing record although no adapter writes it.

    Raises:
        AuditTrailError: naming file and line of the first error.
    """
    # Read before the files are listed, so that a file begun meanwhile is not missed.
    remembered = _remembered(directory)
    wanted = {*heads, *remembered.values()}
    found = instance_files(directory)
    walks = []
    for instance, files in found.items():
        walk = _Walk(directory, instance, allow_open, wanted=wanted)
        _follow(walk, files, bases)
        walks.append(walk)
    for file, value in remembered.items():
        if value in wanted:
            raise _broken(
                file,
                1,
                "its hash is not in the trail: the end was cut, or the newest file is missing",
            )
    for value in sorted(wanted):
        raise _broken(str(directory), 0, f"no record has the hash {value}: the end was cut")
    return VerifiedTrail(
        tuple(ChainHead(walk.instance, str(walk.before), walk.link) for walk in walks),
        sum(walk.records for walk in walks),
        sum(walk.lost for walk in walks),
        sum(walk.crashes for walk in walks),
        tuple(walk.instance for walk in walks if walk.last is not AuditRecordKind.CLOSE),
    )


def _remembered(directory: Path) -> dict[str, str]:
    """`.head` file → the hash in it."""
    found = {}
    for path in sorted(directory.glob(head_name("*"))):
        try:
            found[path.name] = str(json.loads(path.read_bytes())["hash"])
        except (ValueError, KeyError, TypeError):
            raise _broken(path.name, 1, "it is not what an adapter wrote") from None
    return found


def _follow(walk: _Walk, files: Mapping[int, Path], bases: Collection[str]) -> None:
    running = is_held(walk.directory, walk.instance)
    first = min(files)
    for number in range(first, max(files) + 1):
        if number not in files:
            raise _broken(file_name(walk.instance, number), 0, "the file is missing")
        if number == first:
            _begin(walk, files[number], number, bases)
        _read(walk, files[number], is_first=number == first)
    if running or walk.allow_open:
        return
    path = files[max(files)].name
    if walk.torn_bytes or walk.last is not AuditRecordKind.CLOSE:
        raise _broken(
            path,
            0,
            "it ends without a closing record, and no adapter writes it: a crash, or its end was "
            "cut; compare with a hash kept elsewhere (--head), or say --allow-open",
        )


def _begin(walk: _Walk, path: Path, number: int, bases: Collection[str]) -> None:
    """The chain begins at the very first record, or continues from archived files."""
    if number == 1:
        return
    record = next((record for _, record in records_of(path)), None)
    if record is None or record.prev not in bases or record.prev == GENESIS:
        raise _broken(
            path.name, 1, "the files before it are missing; if they were put away, say --base"
        )
    walk.link = ChainLink(record.link.seq - 1, record.prev)


def _read(walk: _Walk, path: Path, *, is_first: bool) -> None:
    torn_before, last_before = walk.torn_bytes, walk.last
    walk.torn_bytes, walk.last = 0, None
    place = 0
    with path.open("rb") as file:
        for place, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                walk.torn_bytes = len(line)
                break
            record = _checked(walk, path.name, place, line)
            if place == 1 and not is_first:
                clean = last_before in _ENDS
                _check_opening(walk, path.name, record, torn_before, clean=clean)
            walk.link, walk.last = record.link, record.kind
            walk.records += 1
            walk.lost += (
                int(record.fields.get("lost", 0)) if record.kind is AuditRecordKind.GAP else 0
            )
            walk.wanted.discard(record.link.hash)
    walk.before = path.name


def _checked(walk: _Walk, name: str, place: int, line: bytes) -> AuditRecord:
    try:
        record = decode(line)
    except AuditTrailError as error:
        raise _broken(name, place, str(error)) from None
    if record.prev != walk.link.hash or record.link.seq != walk.link.seq + 1:
        raise _broken(
            name,
            place,
            f"record {record.link.seq} does not follow record {walk.link.seq}: one was removed, "
            "moved or put in",
        )
    if (record.kind is AuditRecordKind.OPEN) != (place == 1) or walk.last in _ENDS:
        raise _broken(name, place, f"a record of kind {record.kind} cannot stand here")
    return record


def _check_opening(
    walk: _Walk, name: str, record: AuditRecord, torn_bytes: int, *, clean: bool
) -> None:
    """Check that the first record of a file describes how the previous file ended."""
    said = tuple(record.fields.get(key) for key in ("after", "torn_bytes", "clean"))
    if said != (walk.before, torn_bytes, clean):
        raise _broken(name, 1, f"{walk.before} does not end as it did when this file was begun")
    walk.crashes += not clean


def records_of(path: Path) -> Iterator[tuple[int, AuditRecord]]:
    """Line number and record of each complete line; torn and damaged lines are skipped."""
    with path.open("rb") as file:
        for place, line in enumerate(file, start=1):
            try:
                yield place, decode(line)
            except AuditTrailError:
                continue


def heads_of(directory: Path) -> list[ChainHead]:
    """The newest record of each instance that has one."""
    found = []
    for instance, files in instance_files(directory).items():
        for path in reversed(files.values()):
            last = ending_of(path).last
            if last is not None:
                found.append(ChainHead(instance, path.name, last.link))
                break
    return found


def find(directory: Path, request: str) -> list[dict[str, Any]]:
    """Records of a call, by its response id or its `x-request-id`, with file and line."""
    return [
        {"file": path.name, "line": place, **record.fields, "hash": record.link.hash}
        for files in instance_files(directory).values()
        for path in files.values()
        for place, record in records_of(path)
        if request in {record.fields.get("id"), record.fields.get("request_id")}
    ]
