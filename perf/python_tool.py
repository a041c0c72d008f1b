"""Load tools from PyPI (aiperf, guidellm), and the common parts of their drivers.

Such tools need other versions of packages (numpy 2, for example). Each is therefore installed in a
virtual environment of its own.
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
#: Environment variable of the adapter's key, for tools that read it from the environment.
KEY_VARIABLE = "ENGINEHOUSE_API_KEY"

_PYTHON = "bin/python"
_LOCKED = "requirements.txt"
_STAMP = "installed"
_LAST_LINES = 12
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")

#: A minimal tokenizer: the tools must load one, but the token counts of the server are used.
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
    """The result of one run.

    Attributes:
        details: the tool's command and the figures that it printed, for the report.
    """

    records: Sequence[RequestRecord]
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PythonTool:
    """A tool with a pinned version.

    Attributes:
        name: name of its module, and for `--driver`.
        size: its size, to show to the user.
        loose: requirements files to install after `requirements.txt`, with dependencies.
            `requirements.txt` is complete and has hashes.
    """

    name: str
    version: str
    size: str
    loose: tuple[str, ...] = ()

    def home(self, tools: Path) -> Path:
        """The folder of its environment inside the folder of all tools."""
        return tools / f"{self.name}-{self.version}"

    def installed(self, tools: Path) -> bool:
        """Whether it is completely installed with the current requirements."""
        stamp = self.home(tools) / _STAMP
        if not stamp.is_file() or stamp.read_text("utf-8") != self._digest():
            return False
        # The interpreter is a link to the system's, which may have been removed.
        return (self.home(tools) / _PYTHON).exists()

    def argv(self, tools: Path) -> list[str]:
        """The command without its options.

        Raises:
            StackError: if it is not installed; says how to install it.
        """
        if not self.installed(tools):
            raise StackError(
                f"{self.name} {self.version} is not installed: `enginehouse perf install "
                f"{self.name}` fetches it, or use `--driver enginehouse`"
            )
        return self._argv(self.home(tools))

    def install(self, tools: Path, report: Report) -> None:
        """Install it below `tools` if it is not installed.

        Raises:
            StackError: with pip's output, if a package is missing or not the pinned one.
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
        # Run it as a module, because scripts contain the path of the folder of their installation.
        return [str(home.absolute() / _PYTHON), "-m", self.name]

    def _digest(self) -> str:
        digest = hashlib.sha256()
        for name in (_LOCKED, *self.loose):
            digest.update((files(f"enginehouse.perf.{self.name}") / name).read_bytes())
        return digest.hexdigest()


def environment(folder: Path, own_prefix: str) -> dict[str, str]:
    """The environment for a tool: this process's without variables that would change its run.

    Args:
        folder: for its caches and scratch files, so that prompts do not stay in the user's.
        own_prefix: prefix of the tool's own variables, which are left out.
    """
    dropped = {*_PROXIES, *(name.upper() for name in _PROXIES), "HF_HUB_OFFLINE", KEY_VARIABLE}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in dropped and not name.startswith(own_prefix)
    }
    return {**kept, "HF_HOME": str(folder / "huggingface"), "TMPDIR": str(folder)}


def write_tokenizer(folder: Path) -> str:
    """Write the minimal tokenizer that a tool loads; return its path."""
    path = folder / "tokenizer"
    path.mkdir()
    (path / "tokenizer.json").write_text(json.dumps(_TOKENIZER), "utf-8")
    (path / "tokenizer_config.json").write_text(json.dumps(_TOKENIZER_CONFIG), "utf-8")
    return str(path)


def write_lines(path: Path, rows: Sequence[Mapping[str, object]]) -> str:
    """Write JSON lines; return the path as text."""
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    return str(path)


def due_times(load: OfferedLoad) -> list[tuple[LoadPrompt, float | None]]:
    """Every prompt with its due time in seconds; None in a closed loop."""
    if isinstance(load.schedule, int):
        return [(prompt, None) for prompt in load.prompts]
    return list(zip(load.prompts, load.schedule, strict=True))


def run_tool(argv: Sequence[str], folder: Path, env: Mapping[str, str]) -> str:
    """Run a tool in `folder`; return the last lines of its output, for error messages."""
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, cwd=folder, env=dict(env)
    )
    said = (done.stdout + done.stderr).strip().splitlines()[-_LAST_LINES:]
    return "\n".join([f"exit status {done.returncode}", *said])


def complete(name: str, records: Sequence[RequestRecord], load: OfferedLoad, said: str) -> None:
    """Check that every request has a record, including failed ones.

    Raises:
        ServingError: with the tool's output.
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
