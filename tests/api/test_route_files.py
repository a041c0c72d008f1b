from __future__ import annotations

import logging
from pathlib import Path

import pytest
from enginehouse.api.route_files import RouteFiles

from enginehouse.traffic import Arm, Routes
from enginehouse.traffic.routes import routes_path, write_routes


def _routes(generation: int, champion: int = 1) -> Routes:
    arms = (Arm(version=champion, weight=100),)
    return Routes(model="m", generation=generation, champion=champion, arms=arms)


def test_no_directory_is_no_routes(tmp_path: Path) -> None:
    files = RouteFiles(tmp_path / "routes")
    assert not files.poll()
    assert files.current == {}


def test_changes_are_seen_once(tmp_path: Path) -> None:
    files = RouteFiles(tmp_path)
    write_routes(tmp_path, _routes(1))
    assert [files.poll(), files.poll()] == [True, False]
    write_routes(tmp_path, _routes(2, champion=2))
    assert [files.poll(), files.poll()] == [True, False]
    assert files.current["m"].champion == 2
    routes_path(tmp_path, "m").unlink()
    assert files.poll()
    assert files.current == {}


def test_an_older_generation_is_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = RouteFiles(tmp_path)
    write_routes(tmp_path, _routes(5, champion=2))
    files.poll()
    write_routes(tmp_path, _routes(4))
    assert not files.poll()
    assert not files.poll()
    assert files.current["m"].generation == 5
    assert caplog.text.count("older than 5") == 1


@pytest.mark.parametrize(
    "text",
    ["", "{", "\udcff", '{"model": "m"}', _routes(9).model_dump_json().replace('"m"', '"other"')],
)
def test_a_broken_file_keeps_the_last_and_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    files = RouteFiles(tmp_path)
    write_routes(tmp_path, _routes(5))
    files.poll()
    routes_path(tmp_path, "m").write_bytes(text.encode(errors="surrogateescape"))
    with caplog.at_level(logging.WARNING):
        assert [files.poll(), files.poll()] == [False, False]
    assert len(caplog.records) == 1
    assert files.current["m"].generation == 5
    write_routes(tmp_path, _routes(6))
    assert files.poll()


def test_a_file_that_is_being_written_is_not_read(tmp_path: Path) -> None:
    (tmp_path / ".m.json.42").write_text("{")
    (tmp_path / ".m.json").write_text("{")
    files = RouteFiles(tmp_path)
    assert not files.poll()
