from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from enginehouse.gateway.audit.records import AuditRecordKind
from enginehouse.gateway.audit.verify import verify

from tests.gateway.audit.audit_parts import all_records, ids

_ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("on_full", ["continue", "stop"])
def test_a_full_disk_costs_what_the_queue_does_not_hold_and_the_trail_says_how_much(
    tmp_path: Path, on_full: str
) -> None:
    script = [sys.executable, "-m", "tests.gateway.audit.small_disk", str(tmp_path), on_full]
    done = subprocess.run(script, cwd=_ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["lost"] >= 40
    assert ("`audit.on_full` is `stop`" in seen["refused"]) == (on_full == "stop")
    gaps = [
        record.fields["lost"]
        for record in all_records(tmp_path)
        if record.kind is AuditRecordKind.GAP
    ]
    assert sum(gaps) == seen["lost"]
    found = ids(tmp_path)
    assert len(found) == seen["added"] - seen["lost"]
    assert (found[0], found[-1]) == ("first", "after")
    verified = verify(tmp_path)
    assert (verified.lost, verified.crashes) == (seen["lost"], 0)
    # What was asked and answered is in the trail, by policy, and nowhere else.
    assert all(record.fields["prompt"] == ["asked"] for record in _calls(tmp_path))
    assert "cannot be written" in done.stderr
    assert "asked" not in done.stderr
    assert "answered" not in done.stderr


def _calls(directory: Path) -> list:
    return [record for record in all_records(directory) if record.kind is AuditRecordKind.CALL]
