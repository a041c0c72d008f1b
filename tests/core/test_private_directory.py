from __future__ import annotations

import os
from pathlib import Path

import pytest
from enginehouse.engine.stop_relay import StopRelay

from enginehouse.errors import SettingsError
from enginehouse.private_directory import private_directory


def test_it_is_made_for_its_user_alone_and_taken_again(tmp_path: Path) -> None:
    made = private_directory(tmp_path / "d")
    assert made.stat().st_mode & 0o777 == 0o700
    assert private_directory(made) == made


@pytest.mark.parametrize("mode", [0o777, 0o750, 0o701])
def test_one_that_others_may_enter_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "d"
    path.mkdir()
    path.chmod(mode)
    with pytest.raises(SettingsError, match=f"its mode is {mode:o}"):
        private_directory(path)


def test_links_and_files_are_refused(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(SettingsError, match="is a link"):
        private_directory(tmp_path / "link")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    for name in ("dangling", "file"):
        with pytest.raises(SettingsError, match=name):
            private_directory(tmp_path / name)


def test_somebody_elses_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = private_directory(tmp_path / "d")
    mine = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    with pytest.raises(SettingsError, match=f"belongs to the user {mine}"):
        private_directory(made)


def test_the_relay_listens_in_no_directory_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    (tmp_path / f"enginehouse-{os.getuid()}").symlink_to(tmp_path)
    with pytest.raises(SettingsError, match="is a link"):
        StopRelay("m/1", 0, lambda _: 0)
    assert not list(tmp_path.glob("*.sock"))
