"""guidellm as its README runs it; set are only the address and a tokenizer's folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import probe
from probe import check, same, scenario

_SYNTHETIC = "prompt_tokens=64,output_tokens=16"
_REQUESTS = 4


def _run(name: str, *more: str) -> dict[str, Any]:
    folder = Path(probe.SCRATCH) / name
    folder.mkdir()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "guidellm",
            "benchmark",
            "run",
            "--target",
            probe.ROOT_URL,
            "--data",
            _SYNTHETIC,
            "--max-requests",
            str(_REQUESTS),
            "--rate",
            "2",
            "--profile",
            "concurrent",
            "--processor",
            probe.TOKENIZER,
            "--output-dir",
            str(folder),
            "--outputs",
            "json",
            *more,
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    sys.stderr.write(done.stdout + done.stderr)
    last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
    check(done.returncode == 0, f"exit status {done.returncode}: {last}")
    (report,) = folder.glob("*.json")
    found: dict[str, Any] = json.loads(report.read_text("utf-8"))
    return found


def _complete(report: dict[str, Any]) -> None:
    requests = report["benchmarks"][0]["requests"]
    failed = [one["info"].get("error") for one in requests["errored"]]
    same(failed, [], "failed requests")
    same(len(requests["successful"]), _REQUESTS, "requests that succeeded")
    for one in requests["successful"]:
        check(one["output_tokens"] == 16, f"output_tokens: {one['output_tokens']}")


@scenario("a concurrent benchmark of chat completions with synthetic data", column="streaming")
def chat() -> None:
    _complete(_run("chat"))


@scenario("the same of text completions", column="streaming")
def completions() -> None:
    _complete(_run("text", "--request-type", "text_completions"))


probe.run()
