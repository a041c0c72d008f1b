from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from enginehouse.admin_token import ensure_admin_token
from enginehouse.errors import SettingsError
from enginehouse.settings import Settings


def test_whoever_comes_first_makes_it_and_all_read_it(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    with ThreadPoolExecutor(16) as pool:
        tokens = set(pool.map(lambda _: ensure_admin_token(settings), range(64)))
    assert len(tokens) == 1
    assert len(tokens.pop()) >= 40
    assert settings.admin_token_path.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in settings.home.iterdir()] == ["admin.token"]


def test_an_empty_token_opens_nothing(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    settings.admin_token_path.write_text("\n")
    with pytest.raises(SettingsError, match="delete the file"):
        ensure_admin_token(settings)
