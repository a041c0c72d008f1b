"""A real MLflow server process that tests may stop and start again."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Self

import httpx
from enginehouse.stack.process import ManagedProcess

from tests.conftest import free_ports, wait_until


class MlflowServer:
    """SQLite and files below `root`; the port stays the same over restarts."""

    def __init__(self, root: Path, port: int | None = None, **env: str) -> None:
        self._root = root
        self._port = port or free_ports(1)[0]
        self._env = env
        self._process: ManagedProcess | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running()

    def start(self) -> None:
        """Start it and wait until it answers."""
        if self.running:
            return
        self._root.mkdir(parents=True, exist_ok=True)
        argv = [
            *(sys.executable, "-m", "mlflow", "server"),
            *("--backend-store-uri", f"sqlite:///{self._root / 'mlflow.db'}"),
            *("--artifacts-destination", str(self._root / "artifacts")),
            *("--host", "127.0.0.1", "--port", str(self._port), "--workers", "1"),
        ]
        env = {
            **os.environ,
            # Nobody asks for its background jobs, which are ten more processes.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            **self._env,
        }
        env.pop("MLFLOW_TRACKING_URI", None)
        self._process = ManagedProcess("mlflow", argv, env, self._root / "mlflow.log")
        wait_until(lambda: self._answers() or not self.running, "the MLflow server", 120.0)
        assert self.running, self._process.log_tail(40)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it; what it stored stays."""
        if self._process is not None:
            self._process.stop(10.0)
            self._process = None

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health", timeout=2.0, trust_env=False).is_success
        except httpx.HTTPError:
            return False
