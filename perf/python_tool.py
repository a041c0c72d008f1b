"""A load tool on PyPI, in a virtual environment of its own, and what its drivers share.

Such tools need other versions than ours (numpy 2, for one), so nothing of them goes into our own
environment. aiperf and guidellm are two of them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import as_file, files
from pathlib import Path

from enginehouse.perf.loads import OfferedLoad
from enginehouse.perf.measurement import RequestRecord
from enginehouse.perf.prompts import LoadPrompt

from enginehouse.errors import ServingError, StackError

REQUEST_TIMEOUT_S = 600.0
#: Where a tool finds the adapter's key, if it reads it from its environment.
KEY_VARIABLE = "ENGINEHOUSE_API_KEY"

_PYTHON = "bin/python"
_LOCKED = "requirements.txt"
_STAMP = "installed"
_LAST_LINES = 12
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")

#: The servers' own counts are used, so a tokenizer is only there because the tools load one.
_TOKENIZER = {
    "version": "1.0",
    "added_tokens": [],
    "pre_tokenizer": {"type": "Whitespace"},
    "model": {"type": "WordLevel", "vocab": {"?": 0}, "unk_token": "?"},
}
_TOKENIZER_CONFIG = {"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "?"}

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ToolRun:
    """What one run gave.

    Attributes:
        details: what was asked and what the tool printed itself, for the report.
    """

    records: Sequence[RequestRecord]
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PythonTool:
    """A pinned tool.

    Attributes:
        name: of its module, and in `--driver`.
        size: what it takes, for the user.
        loose: files whose packages are installed after those of `requirements.txt`, which is
            complete and has hashes; with what they need.
    """

    name: str
    version: str
    size: str
    loose: tuple[str, ...] = ()

    def home(self, tools: Path) -> Path:
        """Its environment, below the folder of all tools."""
        return tools / f"{self.name}-{self.version}"

    def installed(self, tools: Path) -> bool:
        """Whether it is there, whole, with just these requirements."""
        stamp = self.home(tools) / _STAMP
        if not stamp.is_file() or stamp.read_text("utf-8") != self._digest():
            return False
        # The interpreter is a link to the system's, which may have gone since.
        return (self.home(tools) / _PYTHON).exists()

    def argv(self, tools: Path) -> list[str]:
        """How it is called, without its arguments.

        Raises:
            StackError: if it is not installed, saying how to get it.
        """
        if not self.installed(tools):
            raise StackError(
                f"{self.name} {self.version} is not installed: `enginehouse perf install "
                f"{self.name}` fetches it, or use `--driver enginehouse`"
            )
        return self._argv(self.home(tools))

    def install(self, tools: Path, report: Report) -> None:
        """Install it below `tools` if it is not there.

        Raises:
            StackError: with pip's own words, if a package is missing or not the pinned one.
        """
        if self.installed(tools):
            return
        report(f"installing {self.name} {self.version} in an environment of its own ({self.size})")
        tools.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=tools, prefix=f"{self.name}-") as scratch:
            part = Path(scratch) / "part"
            self._fill(part)
            _checked([*self._argv(part), "--version"], f"{self.name} does not run")
            (part / _STAMP).write_text(self._digest(), "utf-8")
            shutil.rmtree(self.home(tools), ignore_errors=True)
            part.replace(self.home(tools))

    def _fill(self, home: Path) -> None:
        _checked([sys.executable, "-m", "venv", str(home)], "no virtual environment can be made")
        pip = [str(home / _PYTHON), "-m", "pip", "install", "--quiet",
               "--disable-pip-version-check", "--only-binary=:all:"]  # fmt: skip
        failure = f"{self.name} cannot be installed"
        folder = files(f"enginehouse.perf.{self.name}")
        with as_file(folder / _LOCKED) as locked:
            exact = ["--no-deps", "--require-hashes", "--requirement", str(locked)]
            _checked([*pip, *exact], failure)
        for name in self.loose:
            with as_file(folder / name) as loose:
                _checked([*pip, "--requirement", str(loose)], failure)

    def _argv(self, home: Path) -> list[str]:
        # As a module: scripts keep the path of the folder in which they were made.
        return [str(home.absolute() / _PYTHON), "-m", self.name]

    def _digest(self) -> str:
        digest = hashlib.sha256()
        for name in (_LOCKED, *self.loose):
            digest.update((files(f"enginehouse.perf.{self.name}") / name).read_bytes())
        return digest.hexdigest()


def environment(folder: Path, own_prefix: str) -> dict[str, str]:
    """The environment for a tool: ours, without what would change its run or leave traces.

    Args:
        folder: for its caches and scratch; prompts would stay in the user's own.
        own_prefix: of variables that the tool reads; they could change what is measured.
    """
    dropped = {*_PROXIES, *(name.upper() for name in _PROXIES), "HF_HUB_OFFLINE", KEY_VARIABLE}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in dropped and not name.startswith(own_prefix)
    }
    return {**kept, "HF_HOME": str(folder / "huggingface"), "TMPDIR": str(folder)}


def write_tokenizer(folder: Path) -> str:
    """Write the tokenizer that a tool loads and never counts with; its path."""
    path = folder / "tokenizer"
    path.mkdir()
    (path / "tokenizer.json").write_text(json.dumps(_TOKENIZER), "utf-8")
    (path / "tokenizer_config.json").write_text(json.dumps(_TOKENIZER_CONFIG), "utf-8")
    return str(path)


def write_lines(path: Path, rows: Sequence[Mapping[str, object]]) -> str:
    """Write JSON lines; the path as text."""
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    return str(path)


def due_times(load: OfferedLoad) -> list[tuple[LoadPrompt, float | None]]:
    """Every prompt with the second at which it is due; None in a closed loop."""
    if isinstance(load.schedule, int):
        return [(prompt, None) for prompt in load.prompts]
    return list(zip(load.prompts, load.schedule, strict=True))


def run_tool(argv: Sequence[str], folder: Path, env: Mapping[str, str]) -> str:
    """Run it in `folder`; its last lines, for when it has written no records."""
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, cwd=folder, env=dict(env)
    )
    said = (done.stdout + done.stderr).strip().splitlines()[-_LAST_LINES:]
    return "\n".join([f"exit status {done.returncode}", *said])


def complete(name: str, records: Sequence[RequestRecord], load: OfferedLoad, said: str) -> None:
    """Do nothing if every request has its record, failed ones included.

    Raises:
        ServingError: with the tool's own words.
    """
    if len(records) != len(load.prompts):
        raise ServingError(
            f"{name} recorded {len(records)} of {len(load.prompts)} requests:\n{said}"
        )


def _checked(argv: Sequence[str], failure: str) -> None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except OSError as error:
        raise StackError(f"{failure}: {error}") from error
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()[-_LAST_LINES:]
        raise StackError(f"{failure}:\n" + "\n".join(said))
