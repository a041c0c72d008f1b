"""The last run of each client, kept so that the page can be written after a run of some."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from tests.client_matrix.outcomes import ClientRun, Outcome, Verdict

_FILE = "run.json"


def save(run: ClientRun, home: Path) -> None:
    """Write it into the client's folder."""
    home.mkdir(parents=True, exist_ok=True)
    (home / _FILE).write_text(json.dumps(asdict(run), indent=1), "utf-8")


def load(home: Path) -> ClientRun | None:
    """The client's last run, if there is one."""
    path = home / _FILE
    if not path.is_file():
        return None
    found = json.loads(path.read_text("utf-8"))
    found["outcomes"] = tuple(
        Outcome(**one | {"verdict": Verdict(one["verdict"])}) for one in found["outcomes"]
    )
    return ClientRun(
        **{**found, **{name: tuple(found[name]) for name in ("versions", "surprises")}}
    )
