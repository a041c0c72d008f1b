from __future__ import annotations

import json
from pathlib import Path

from enginehouse.gateway.audit.records import file_name

from tests.conftest import call_cli, stack_env
from tests.gateway.audit.audit_parts import boot


def test_verify_head_and_show(tmp_path: Path) -> None:
    trail = tmp_path / "audit"
    trail.mkdir()
    boot(trail, "chatcmpl-1", "chatcmpl-2")
    env = stack_env(tmp_path)
    (head,) = json.loads(call_cli(env, "audit", "head", "--json").stdout)
    assert call_cli(env, "audit", "head").stdout == f"adapter 4 {head['hash']}\n"
    whole = call_cli(env, "audit", "verify", "--head", head["hash"])
    assert (whole.returncode, whole.stderr) == (0, "")
    assert "ok: 4 records" in whole.stdout
    (shown,) = json.loads(call_cli(env, "audit", "show", "--request", "chatcmpl-2").stdout)
    assert (shown["file"], shown["line"], shown["seq"]) == (file_name("adapter", 1), 3, 3)

    path = trail / file_name("adapter", 1)
    path.write_bytes(path.read_bytes().replace(b"chatcmpl-2", b"chatcmpl-3"))
    changed = call_cli(env, "audit", "verify", trail)
    assert changed.returncode == 1
    assert f"{path.name}:3: it is not what its hash was made of" in changed.stderr
    missing = call_cli(env, "audit", "show", "--request", "chatcmpl-9")
    assert (missing.returncode, "chatcmpl-9" in missing.stderr) == (1, True)


def test_a_trail_that_is_not_there_is_no_whole_trail(tmp_path: Path) -> None:
    done = call_cli(stack_env(tmp_path), "audit", "verify")
    assert done.returncode == 1
    assert "there is no audit trail" in done.stderr
