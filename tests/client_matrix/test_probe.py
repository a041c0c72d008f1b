"""What scripts share: their lines, and the fence around them; in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client_matrix.outcomes import Verdict, judge

_SHARED = Path(__file__).parent / "shared"
_SCRIPT = """
from probe import check, refused, run, same, scenario

@scenario("works", column="chat")
def works():
    print("a client's own words")
    return "3 of 3"

@scenario("async", column="chat")
async def later():
    same(1, 1, "one")

@scenario("breaks")
def breaks():
    same(1, 2, "one")

@scenario("limited", limit="it cannot")
def limited():
    refused(ValueError, lambda: None)

run()
"""


def ran(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    given = {**os.environ, "PYTHONPATH": str(_SHARED), **env}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=given
    )


def test_every_scenario_has_its_line() -> None:
    done = ran(_SCRIPT)
    assert done.returncode == 0, done.stderr
    run = judge("A client", (), done.stdout, "")
    assert [(one.scenario, one.verdict, one.detail) for one in run.outcomes] == [
        ("works", Verdict.WORKS, "3 of 3"),
        ("async", Verdict.WORKS, ""),
        ("breaks", Verdict.FAILED, "DifferentError: one: 1 is not 2"),
        ("limited", Verdict.LIMIT, "it cannot"),
    ]
    assert "no ValueError was raised" in done.stderr


def test_scenarios_can_be_chosen() -> None:
    run = judge("A client", (), ran(_SCRIPT, MATRIX_ONLY="async;works").stdout, "")
    assert [one.scenario for one in run.outcomes] == ["works", "async"]


@pytest.mark.parametrize("host", ["192.0.2.1", "example.org"])
def test_no_client_leaves_the_loopback(host: str) -> None:
    done = ran(f"import socket; socket.create_connection(({host!r}, 9), timeout=5)")
    assert f"a client wants to reach {host}" in done.stderr


def test_the_loopback_is_open() -> None:
    code = "import socket; s = socket.create_server(('127.0.0.1', 0)); "
    done = ran(code + "socket.create_connection(s.getsockname())")
    assert done.returncode == 0, done.stderr
