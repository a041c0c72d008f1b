from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from enginehouse.gateway.audit.records import file_name
from enginehouse.gateway.audit.verify import heads_of, verify
from hypothesis import given
from hypothesis import strategies as st

from enginehouse.errors import AuditTrailError
from tests.gateway.audit.audit_parts import all_files, boot

_FIRST, _SECOND, _THIRD = (file_name("adapter", number) for number in (1, 2, 3))


@pytest.fixture
def trail(tmp_path: Path) -> Path:
    """Three files, each of three calls between an opening and a closing record."""
    for number in range(3):
        boot(tmp_path, *(f"call-{number}-{place}" for place in range(3)))
    return tmp_path


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def _rewrite(path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    path.write_bytes(b"".join(change(_lines(path))))


def _forged(line: bytes) -> bytes:
    """The same record with another id, and a hash that fits it."""
    fields = json.loads(line)
    fields.pop("hash")
    fields["id"] = "forged"
    body = json.dumps(fields, separators=(",", ":")).encode()
    return body[:-1] + f',"hash":"{hashlib.sha256(body).hexdigest()}"}}\n'.encode()


def test_a_whole_trail_is_whole(trail: Path) -> None:
    found = verify(trail)
    assert (found.records, found.crashes, found.lost, found.open) == (15, 0, 0, ())
    assert [head.file for head in found.heads] == [_THIRD]
    assert verify(trail, heads=[found.heads[0].link.hash]) == found


@pytest.mark.parametrize(
    ("file", "change", "where"),
    [
        (_FIRST, lambda lines: [lines[0].replace(b"adapter", b"adaptor"), *lines[1:]], 1),
        (_SECOND, lambda lines: [*lines[:2], lines[2].replace(b"1-1", b"1-9"), *lines[3:]], 3),
        (_SECOND, lambda lines: [*lines[:2], _forged(lines[2]), *lines[3:]], 4),
        (_SECOND, lambda lines: [*lines[:2], *lines[3:]], 3),
        (_SECOND, lambda lines: [*lines[:2], lines[3], lines[2], *lines[4:]], 3),
        (_SECOND, lambda lines: [*lines[:2], lines[2], lines[2], *lines[3:]], 4),
        (_SECOND, lambda lines: lines[1:], 1),
        (_SECOND, lambda lines: [*lines[:-1], lines[-1][:-1] + b" \n"], 5),
        (_THIRD, lambda lines: [*lines, lines[1]], 6),
    ],
    ids=[
        "edited opening", "edited", "edited with a new hash", "deleted", "swapped", "repeated",
        "first deleted", "space added", "one more",
    ],
)  # fmt: skip
def test_a_changed_line_is_named(
    trail: Path, file: str, change: Callable[[list[bytes]], list[bytes]], where: int
) -> None:
    _rewrite(trail / file, change)
    with pytest.raises(AuditTrailError, match=f"^{file}:{where}: "):
        verify(trail)


@pytest.mark.parametrize("cut_bytes", [1, 40, 400])
def test_a_file_that_was_cut_is_noticed_by_its_successor(trail: Path, cut_bytes: int) -> None:
    data = (trail / _SECOND).read_bytes()
    (trail / _SECOND).write_bytes(data[:-cut_bytes])
    with pytest.raises(AuditTrailError, match=f"^{_THIRD}:1: "):
        verify(trail)


@pytest.mark.parametrize("kept_lines", [1, 2, 4])
def test_the_newest_file_cut_at_a_line_lacks_its_closing_record(
    trail: Path, kept_lines: int
) -> None:
    head = heads_of(trail)[0].link.hash
    _rewrite(trail / _THIRD, lambda lines: lines[:kept_lines])
    with pytest.raises(AuditTrailError, match=r"^audit-adapter\.head:1: .* the end was cut"):
        verify(trail, allow_open=True)
    (trail / "audit-adapter.head").unlink()
    with pytest.raises(AuditTrailError, match="no record has the hash"):
        verify(trail, heads=[head], allow_open=True)
    with pytest.raises(AuditTrailError, match=f"^{_THIRD}:0: .* without a closing record"):
        verify(trail)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (_FIRST, f"^{_SECOND}:1: the files before it are missing"),
        (_SECOND, f"^{_SECOND}:0: the file is missing"),
        (_THIRD, r"^audit-adapter\.head:1: .* newest file is missing"),
    ],
)
def test_a_missing_file_is_named(trail: Path, file: str, message: str) -> None:
    (trail / file).unlink()
    with pytest.raises(AuditTrailError, match=message):
        verify(trail)


def test_only_a_hash_kept_elsewhere_finds_a_trail_cut_back_with_care(trail: Path) -> None:
    head = heads_of(trail)[0].link.hash
    (trail / _THIRD).unlink()
    (trail / "audit-adapter.head").unlink()
    assert verify(trail).records == 10
    with pytest.raises(AuditTrailError, match=head):
        verify(trail, heads=[head])


def test_an_emptied_trail_is_noticed(trail: Path) -> None:
    for path in all_files(trail):
        path.unlink()
    with pytest.raises(AuditTrailError, match="newest file is missing"):
        verify(trail)


def test_files_put_away_are_named_by_their_last_hash(trail: Path) -> None:
    first = _lines(trail / _FIRST)
    last = json.loads(first[-1])["hash"]
    (trail / _FIRST).unlink()
    assert verify(trail, bases=[last]).records == 10
    with pytest.raises(AuditTrailError, match="files before it are missing"):
        verify(trail, bases=["f" * 64])


#: Not drawn by the file's size, which is not the same twice: a time's last zeros are left out.
_PLACE = st.integers(0, 10_000)
_CHANGES = st.sampled_from(["byte", "delete", "swap", "cut"])


@given(data=st.data())
def test_no_change_anywhere_goes_unseen(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        for number in range(2):
            boot(directory, *(f"call-{number}-{place}" for place in range(3)))
        head = heads_of(directory)[0].link.hash
        path = data.draw(st.sampled_from(all_files(directory)))
        before = path.read_bytes()
        path.write_bytes(_changed(data, before))
        if path.read_bytes() == before:
            assert verify(directory, heads=[head]).records == 10
            return
        with pytest.raises(AuditTrailError):
            verify(directory, heads=[head], allow_open=True)


def _changed(data: st.DataObject, before: bytes) -> bytes:
    lines = before.splitlines(keepends=True)
    places = st.integers(0, len(lines) - 1)
    match data.draw(_CHANGES):
        case "byte":
            place = data.draw(_PLACE) % len(before)
            new = bytes([data.draw(st.integers(0, 255))])
            return before[:place] + new + before[place + 1 :]
        case "delete":
            place = data.draw(places)
            return b"".join(lines[:place] + lines[place + 1 :])
        case "swap":
            one, other = data.draw(places), data.draw(places)
            lines[one], lines[other] = lines[other], lines[one]
            return b"".join(lines)
        case _:
            return before[: data.draw(_PLACE) % (len(before) + 1)]


def test_a_copy_elsewhere_is_as_whole_as_the_original(trail: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(trail, copy, ignore=shutil.ignore_patterns("copy"))
    assert verify(copy) == verify(trail)
