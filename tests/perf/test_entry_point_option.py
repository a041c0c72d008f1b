"""`perf run --entry-point`, and its deprecated name `--door`."""

from __future__ import annotations

import pytest
from enginehouse.cli.app import app
from typer.testing import CliRunner, Result

from enginehouse.errors import SettingsError


def _run(*options: str) -> Result:
    return CliRunner().invoke(app, ["perf", "run", "standard", *options])


@pytest.mark.parametrize(
    ("option", "said"),
    [("--entry-point", "no entry point 'window'"), ("--door", "no door 'window'")],
)
def test_an_unknown_entry_point_is_refused_with_those_that_exist(option: str, said: str) -> None:
    done = _run(option, "window")
    assert isinstance(done.exception, SettingsError)
    assert said in str(done.exception)
    assert "adapter, ensemble, tensorrt_llm" in str(done.exception)


def test_the_old_name_still_chooses_and_warns() -> None:
    done = _run("--door", "ensemble", "--driver", "aiperf")
    assert "--door is deprecated: use --entry-point" in done.output
    assert "for the entry point ensemble" in str(done.exception)


def test_the_help_shows_the_new_name_only() -> None:
    page = CliRunner().invoke(app, ["perf", "run", "--help"], env={"COLUMNS": "200"}).output
    assert "--entry-point" in page
    assert "--door" not in page
