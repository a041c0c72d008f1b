"""aiperf as its documents run it, with a tokenizer's folder in place of a hub's name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import probe
from probe import check, same, scenario

_REQUESTS = 4


def _run(name: str, *more: str, model: str = probe.MODEL) -> None:
    folder = Path(probe.SCRATCH) / name
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "aiperf",
            "profile",
            "--model",
            model,
            "--url",
            probe.ROOT_URL,
            "--tokenizer",
            probe.TOKENIZER,
            "--ui",
            "none",
            "--request-count",
            str(_REQUESTS),
            "--concurrency",
            "2",
            "--synthetic-input-tokens-mean",
            "64",
            "--output-tokens-mean",
            "16",
            "--artifact-dir",
            str(folder),
            *more,
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=probe.SCRATCH,
        # Where it is set, aiperf looks for no tokenizer in a folder.
        env={name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"},
    )
    sys.stderr.write(done.stdout + done.stderr)
    last = ((done.stderr or done.stdout).strip().splitlines() or ["nothing"])[-1]
    check(done.returncode == 0, f"exit status {done.returncode}: {last}")
    (records,) = folder.rglob("profile_export.jsonl")
    rows = [json.loads(line) for line in records.read_text("utf-8").splitlines() if line.strip()]
    same(len(rows), _REQUESTS, "records")
    same([row["error"] for row in rows if row.get("error")], [], "errors")


@scenario("chat, streamed", column="streaming")
def streamed() -> None:
    _run("streamed", "--endpoint-type", "chat", "--streaming")


@scenario("chat, not streamed", column="chat")
def whole() -> None:
    _run("whole", "--endpoint-type", "chat")


@scenario("completions, streamed", column="streaming")
def completions() -> None:
    _run("completions", "--endpoint-type", "completions", "--streaming")


@scenario("embeddings", column="embeddings")
def embeddings() -> None:
    _run("embeddings", "--endpoint-type", "embeddings", model=probe.EMBEDDING)


probe.run()
