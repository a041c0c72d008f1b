from __future__ import annotations

import logging
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from enginehouse.gateway.audit.chain import AuditChain, is_held
from enginehouse.gateway.audit.records import AuditRecordKind, file_name
from enginehouse.gateway.audit.verify import heads_of, verify

from enginehouse.errors import AuditTrailError
from tests.conftest import wait_until
from tests.gateway.audit.audit_parts import all_files, all_records, boot, event, ids, opened

_ROOT = Path(__file__).parents[3]
_FIRST, _SECOND = file_name("adapter", 1), file_name("adapter", 2)


def test_events_stand_in_the_trail_in_their_order(tmp_path: Path) -> None:
    names = [f"call-{place}" for place in range(500)]
    with opened(tmp_path) as (trail, registry):
        for name in names:
            trail.add(event(name))
    assert ids(tmp_path) == names
    assert registry.get_sample_value("enginehouse_audit_written_total") == 500
    assert registry.get_sample_value("enginehouse_audit_lost_total") == 0
    found = verify(tmp_path)
    assert (found.records, found.open) == (502, ())
    (path,) = all_files(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_boot_goes_on_from_the_hash_of_the_one_before(tmp_path: Path) -> None:
    boot(tmp_path, "one")
    last = all_records(tmp_path)[-1].link
    boot(tmp_path, "two")
    opening = all_records(tmp_path)[3]
    assert (opening.kind, opening.prev) == (AuditRecordKind.OPEN, last.hash)
    said = {key: opening.fields[key] for key in ("seq", "after", "clean", "torn_bytes")}
    assert said == {"seq": last.seq + 1, "after": _FIRST, "clean": True, "torn_bytes": 0}
    assert verify(tmp_path).crashes == 0


@pytest.mark.parametrize("torn", [b"", b'{"seq":4,"at":17', b"\0" * 100])
def test_after_a_crash_the_next_start_goes_on_and_says_so(tmp_path: Path, torn: bytes) -> None:
    boot(tmp_path, "one", clean=False)
    with (tmp_path / _FIRST).open("ab") as file:
        file.write(torn)
    with pytest.raises(AuditTrailError, match="without a closing record"):
        verify(tmp_path)
    boot(tmp_path, "two")
    opening = all_records(tmp_path)[2]
    assert (opening.fields["clean"], opening.fields["torn_bytes"]) == (False, len(torn))
    found = verify(tmp_path)
    assert (found.crashes, ids(tmp_path)) == (1, ["one", "two"])


def test_a_crash_while_a_file_is_begun_leaves_no_hole(tmp_path: Path) -> None:
    boot(tmp_path, "one")
    (tmp_path / _SECOND).write_bytes(b'{"seq":')
    boot(tmp_path, "two")
    assert [path.name for path in all_files(tmp_path)] == [_FIRST, _SECOND]
    assert verify(tmp_path).crashes == 0


def test_a_trail_that_was_tampered_with_is_not_healed_by_a_start(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    boot(tmp_path, "one")
    data = (tmp_path / _FIRST).read_bytes()
    (tmp_path / _FIRST).write_bytes(data.replace(b'"close"', b'"clasp"'))
    boot(tmp_path, "two")
    with pytest.raises(AuditTrailError, match=f"^{_FIRST}:3: "):
        verify(tmp_path)
    assert "run `enginehouse audit verify`" in caplog.text


def test_a_file_that_is_full_or_of_yesterday_gets_a_successor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = AuditChain(tmp_path, "adapter", rotate_bytes=4096)
    names = [f"call-{place}" for place in range(60)]
    for name in names:
        chain.append([(AuditRecordKind.CALL, 1_790_000_000.0, {"id": name})])
    by_size = len(all_files(tmp_path))
    assert by_size > 2
    monkeypatch.setattr("enginehouse.gateway.audit.chain._today", lambda: "2100-01-01")
    chain.append([(AuditRecordKind.CALL, 1_790_000_000.0, {"id": "tomorrow"})])
    assert len(all_files(tmp_path)) == by_size + 1
    chain.close()
    assert ids(tmp_path) == [*names, "tomorrow"]
    assert verify(tmp_path).crashes == 0
    all_files(tmp_path)[-1].unlink()
    (tmp_path / "audit-adapter.head").unlink()
    with pytest.raises(AuditTrailError, match="without a closing record"):
        verify(tmp_path)


def test_two_adapters_in_one_directory_write_two_chains(tmp_path: Path) -> None:
    with opened(tmp_path) as (one, _), opened(tmp_path) as (other, _):
        assert [one.instance, other.instance] == ["adapter", "adapter-2"]
        one.add(event("of one"))
        other.add(event("of the other"))
        assert is_held(tmp_path, "adapter")
    assert not is_held(tmp_path, "adapter")
    assert sorted(ids(tmp_path)) == ["of one", "of the other"]
    assert [head.instance for head in verify(tmp_path).heads] == ["adapter", "adapter-2"]


def test_a_trail_is_verified_while_it_is_written(tmp_path: Path) -> None:
    with opened(tmp_path) as (trail, registry):
        trail.add(event("one"))
        wait_until(
            lambda: registry.get_sample_value("enginehouse_audit_written_total") == 1, "the record"
        )
        found = verify(tmp_path)
        assert (found.records, found.open) == (2, ("adapter",))
        assert heads_of(tmp_path) == list(found.heads)


def test_an_event_that_is_no_json_is_lost_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    circle: dict[str, object] = {"word": "hidden word"}
    circle["self"] = circle
    with caplog.at_level(logging.DEBUG), opened(tmp_path) as (trail, registry):
        trail.add(event("before"))
        trail.add(event("circle", verdicts=circle))
        trail.add(event("after"))
    assert ids(tmp_path) == ["before", "after"]
    assert registry.get_sample_value("enginehouse_audit_lost_total") == 1
    assert verify(tmp_path).lost == 1
    assert "hidden word" not in caplog.text


def test_halves_of_characters_are_written_as_they_came(tmp_path: Path) -> None:
    with opened(tmp_path) as (trail, _):
        trail.add(event("half \ud83d"))
    assert ids(tmp_path) == ["half \ud83d"]
    assert verify(tmp_path).records == 3


@pytest.mark.parametrize("fsync", ["never", "second", "each"])
def test_a_killed_adapter_leaves_every_record_that_was_written(tmp_path: Path, fsync: str) -> None:
    script = [sys.executable, "-m", "tests.gateway.audit.crash_trail", str(tmp_path), fsync]
    worker = subprocess.Popen(script, cwd=_ROOT, stdout=subprocess.PIPE)
    assert worker.stdout is not None
    written = [int(worker.stdout.readline()) for _ in range(5)][-1]
    worker.kill()
    assert worker.wait() == -signal.SIGKILL
    worker.stdout.close()
    boot(tmp_path, "next start")
    found = ids(tmp_path)
    assert found[:written] == [f"call-{place}" for place in range(written)]
    assert verify(tmp_path).crashes == 1
