"""Errors that nobody expected end neither the controller nor a replica's worker."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest
from enginehouse.client.discovery import Replica
from enginehouse.registry import Registry
from enginehouse.registry.controller.collector import SampleCollector
from enginehouse.registry.controller.controller import Controller
from enginehouse.registry.controller.lease import Lease
from enginehouse.registry.controller.replica import ReplicaWorker

from enginehouse.retry import RetryPolicy
from enginehouse.settings import Settings
from enginehouse.supervision import SUPERVISOR
from tests.conftest import free_ports, wait_until


class Planted:
    """Fails the first two times."""

    def __init__(self, then: Any) -> None:
        self.calls = 0
        self._then = then

    def __call__(self, *arguments: Any) -> Any:
        self.calls += 1
        if self.calls <= 2:
            raise ZeroDivisionError("nobody foresaw it")
        return self._then(*arguments)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enginehouse.supervision._RESTARTS", RetryPolicy(None, 0.01))


def _count(task: str) -> int:
    return SUPERVISOR.failures().get(task, 0)


def test_the_controller_goes_on(
    settings: Settings, own: Registry, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    before = _count("controller")
    planted = Planted(Lease.acquire)

    def acquire(lease: Lease) -> Any:
        return planted(lease)

    monkeypatch.setattr(Lease, "acquire", acquire)
    assert own.models() == []
    controller = Controller(settings, "token", lambda _: None, lambda e: e, lambda *_: None)
    controller.start()
    try:
        wait_until(lambda: bool(controller.describe()["read"]), "the registry to be read")
    finally:
        controller.stop()
    assert _count("controller") == before + 2
    assert "ZeroDivisionError: nobody foresaw it" in caplog.text


def test_a_replicas_worker_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    before = _count("replica")
    looked = Planted(dict)
    monkeypatch.setattr(ReplicaWorker, "_look", lambda _: looked())
    nothing: Any = SimpleNamespace()
    replica = Replica("r", f"127.0.0.1:{free_ports(1)[0]}")
    worker = ReplicaWorker(
        replica, nothing, threading.Lock(), lambda _: None, lambda _: None, "secret", nothing
    )
    worker.start()
    try:
        wait_until(lambda: worker.seen.up, "a look that succeeds")
    finally:
        worker.close()
    assert _count("replica") == before + 2


def test_the_reader_of_samples_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    before = _count("samples")
    fetch = Planted(lambda *_: False)
    monkeypatch.setattr(SampleCollector, "_fetch", lambda *_: fetch())
    collector = SampleCollector(["http://127.0.0.1:9"], "token", lambda _: None)
    collector.start()
    try:
        wait_until(lambda: fetch.calls > 2, "a page after the errors")
    finally:
        collector.close()
    assert _count("samples") == before + 2
