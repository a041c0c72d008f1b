"""Run a tutorial line by line against a real stack: `python -m tests.docs.run_tutorial FILE`.

Blocks of the languages `sh` and `python` are run in their order, in a directory of their own under
`.scratch/`. A block with the title "first terminal" is started in the background, instead of the
one before it, and the others wait until `enginehouse status` finds everything healthy. State is in
that directory and ports are free ones, so a stack of yours is left alone.
The first command that fails ends the run with its exit status.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import free_ports

_ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(sh|python)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: Port that the pages name → variable that moves it.
_PORTS = {
    "8080": "ENGINEHOUSE_API_PORT",
    "8000": "ENGINEHOUSE_TRITON_HTTP_PORT",
    "8001": "ENGINEHOUSE_TRITON_GRPC_PORT",
    "8002": "ENGINEHOUSE_TRITON_METRICS_PORT",
    "8090": "ENGINEHOUSE_CONTROLLER_PORT",
}
_WAIT = "for i in $(seq 600); do enginehouse status >/dev/null 2>&1 && break; sleep 0.5; done\n"


@dataclass(frozen=True, slots=True)
class Block:
    """A block of a page that is run."""

    language: str
    background: bool
    text: str


def blocks(page: str) -> list[Block]:
    """The blocks of a page, in their order."""
    return [
        Block(match[1], "first terminal" in match[2], match[3]) for match in _BLOCK.finditer(page)
    ]


@dataclass
class Run:
    """One run of one page."""

    scratch: Path
    ports: dict[str, str] = field(default_factory=dict)
    server: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.ports = dict(zip(_PORTS, map(str, free_ports(len(_PORTS))), strict=True))
        venv = _ROOT / ".venv" / "bin"
        self.env = os.environ | {name: self.ports[port] for port, name in _PORTS.items()}
        self.env |= {
            "ENGINEHOUSE_HOME": str(self.scratch / ".enginehouse"),
            "PATH": f"{venv}:{os.environ['PATH']}",
            "COLUMNS": "110",
        }

    def text(self, block: Block) -> str:
        """The block's text with the ports of this run; `make up` without the set-up before it."""
        text = block.text.replace("make up", "enginehouse up")
        return re.sub(rf"(?<=:)({'|'.join(_PORTS)})\b", lambda found: self.ports[found[1]], text)

    def run(self, block: Block) -> None:
        """Run one block; raises `CalledProcessError`."""
        text = self.text(block)
        sys.stdout.write(f"\n>>> {text}")
        sys.stdout.flush()
        if block.background:
            self.start(text)
            return
        command = ["bash", "-euo", "pipefail", "-c", text]
        if block.language == "python":
            command = [sys.executable, "-c", text]
        subprocess.run(command, cwd=self.scratch, env=self.env, check=True)

    def start(self, text: str) -> None:
        """Start a block in the background, and wait until its stack is healthy."""
        self.stop()
        exported = "\n".join(line for line in text.splitlines() if line.startswith("export "))
        for line in exported.splitlines():
            name, _, value = line.removeprefix("export ").partition("=")
            self.env[name] = value
        self.server = subprocess.Popen(
            ["bash", "-c", text.replace("enginehouse up", "exec enginehouse up")],
            cwd=self.scratch,
            env=self.env,
        )
        subprocess.run(["bash", "-c", _WAIT + "enginehouse status"], env=self.env, check=True)

    def stop(self) -> None:
        """End what runs in the background, as Ctrl-C does."""
        if self.server is not None:
            self.server.send_signal(signal.SIGINT)
            self.server.wait(60)
            self.server = None


def main(page: Path) -> None:
    """Run a page from its first block to its last."""
    scratches = _ROOT / ".scratch"
    scratches.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tutorial-", dir=scratches) as scratch:
        run = Run(Path(scratch))
        try:
            for block in blocks(page.read_text(encoding="utf-8")):
                run.run(block)
        finally:
            run.stop()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
