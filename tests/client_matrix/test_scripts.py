"""A script ends with all that it started, in its time or when the run is ended."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil

from tests.client_matrix.scripts import run_script
from tests.conftest import wait_until

#: The shell starts at once, so that the hanging one has said what it has to in its time.
_STARTS = ["sh", "-c", "sleep 1000 & echo $!"]
_HANGS = ["sh", "-c", "sleep 1000 & echo $!; wait"]


def test_it_says_what_it_said_and_how_it_ended(tmp_path: Path) -> None:
    code = "import sys; print('a'); print('b', file=sys.stderr); sys.exit(3)"
    log = tmp_path / "run.log"
    said = run_script([sys.executable, "-c", code], tmp_path, os.environ, log, 60.0)
    assert (said.output, said.status) == ("a\n", "exit status 3")
    assert log.read_text("utf-8") == "b\n"


def test_what_it_started_ends_with_it(tmp_path: Path) -> None:
    said = run_script(_STARTS, tmp_path, os.environ, tmp_path / "run.log", 60.0)
    wait_until(lambda: not _runs(int(said.output)), "the end of its child")


def test_one_that_hangs_is_ended(tmp_path: Path) -> None:
    said = run_script(_HANGS, tmp_path, os.environ, tmp_path / "run.log", 2.0)
    assert said.status == "did not end within 2 s"
    wait_until(lambda: not _runs(int(said.output)), "the end of its child")


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
