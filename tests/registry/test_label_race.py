"""Of two who register with one label at once, one wins and the other is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from enginehouse.registry import Registry, store
from enginehouse.registry.labels import resolve

from enginehouse.errors import ConflictError
from enginehouse.settings import Settings
from tests.fake_bundle import fake_bundle


def test_the_later_of_two_that_saw_the_label_free_gives_way(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "check_free", lambda *_: None)
    registry = Registry(settings)
    first, second = (fake_bundle(tmp_path / n, weights=n.encode()) for n in "ab")
    kept = registry.register(first, "smollm2", "1.4.0")
    with pytest.raises(ConflictError, match="has just been given the label"):
        registry.register(second, "smollm2", "1.4.0")
    assert [record.version for record in registry.versions("smollm2")] == [kept.version]
    assert resolve(registry, "smollm2", "1.4.0").version == kept.version


@pytest.mark.slow(reason="two processes; the test above lets both see the label free")
def test_of_two_processes_one_wins(settings: Settings, tmp_path: Path) -> None:
    registry = Registry(settings)
    registry.register(fake_bundle(tmp_path / "first"), "smollm2")
    environ = {**os.environ, "ENGINEHOUSE_HOME": str(settings.home)}
    running = []
    for name in ("a", "b"):
        bundle = fake_bundle(tmp_path / name, weights=name.encode())
        argv = [sys.executable, "-m", "enginehouse", "register", str(bundle.path)]
        options = ["--name", "smollm2", "--label", "2.0.0"]
        running.append(
            subprocess.Popen([*argv, *options], env=environ, stderr=subprocess.PIPE, text=True)
        )
    said = [process.communicate(timeout=120)[1] for process in running]
    assert sorted(process.returncode for process in running) == [0, 1], said
    assert any("the label 2.0.0" in text for text in said)
    labelled = [r.version for r in registry.versions("smollm2") if r.label == "2.0.0"]
    assert len(labelled) == 1
