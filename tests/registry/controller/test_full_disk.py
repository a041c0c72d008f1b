"""What serves goes on though nothing can be written, and goes on by itself once it can."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from enginehouse.registry import Registry
from enginehouse.registry.controller.controller import Controller
from enginehouse.registry.controller.lease import Lease

from enginehouse.settings import Settings
from tests.conftest import wait_until


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def controller(settings: Settings, own: Registry, said: list[str]) -> Iterator[Controller]:
    made = Controller(settings, "token", said.append, lambda engine: engine, lambda *_: None)
    yield made
    made.stop()


def test_the_controller_says_what_is_wrong_and_goes_on_when_it_is_mended(
    controller: Controller, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Lease) -> bool:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert controller.describe() == {"models": [], "read": False, "problem": None}
    with monkeypatch.context() as patched:
        patched.setattr(Lease, "acquire", full)
        controller.start()
        wait_until(lambda: controller.describe()["problem"] is not None, "the problem")
        assert "No space left on device" in controller.describe()["problem"]
        assert "No space left on device; serving continues" in said[0]
        assert not controller.describe()["read"]
    controller.hint()
    wait_until(lambda: bool(controller.describe()["read"]), "the registry to be read")
    wait_until(lambda: controller.describe()["problem"] is None, "no problem any more")


@pytest.mark.parametrize(
    "call",
    [
        "from enginehouse.cli.common import tell; tell('a line')",
        "from enginehouse.cli.controller import _log; _log('a line')",
    ],
)
def test_a_report_that_cannot_be_written_is_no_reason_to_end(call: str) -> None:
    program = f"{call}; import os; os._exit(7)"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", program], stdout=full, stderr=full, check=False
        )
    assert done.returncode == 7
