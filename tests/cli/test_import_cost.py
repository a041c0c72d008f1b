"""What the command line reads of the gateway does not load the adapter."""

from __future__ import annotations

import subprocess
import sys

import pytest

_ADAPTER = ("fastapi", "grpc", "mlflow", "enginehouse.api.app")


def test_the_audit_trail_is_read_without_the_adapter() -> None:
    assert _loaded("enginehouse.gateway.audit.verify") == []


@pytest.mark.parametrize("module", ["access.keys", "ledger.report", "ledger.spool"])
def test_keys_and_usage_are_read_without_the_application(module: str) -> None:
    loaded = _loaded(f"enginehouse.gateway.{module}")
    assert "enginehouse.api.app" not in loaded
    assert "mlflow" not in loaded


def _loaded(module: str) -> list[str]:
    code = f"import sys, {module}; print(*[n for n in {_ADAPTER!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()
