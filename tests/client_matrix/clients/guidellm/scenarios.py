"""guidellm as its README runs it; set are only the address and a tokenizer's folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import probe
from probe import check, same, scenario

_REQUESTS = 4
_OUTPUT_TOKENS = 16


def _run(path: str) -> dict[str, Any]:
    report = Path(probe.SCRATCH) / f"{path.replace('/', '-')}.json"
    given = {
        "backend": f"kind=openai_http,target={probe.ROOT_URL},request_format={path}",
        "profile": "kind=concurrent,streams=2",
        "constraint": f"kind=max_requests,count={_REQUESTS}",
        "data": f"kind=synthetic_text,prompt_tokens=64,output_tokens={_OUTPUT_TOKENS}",
        "tokenizer": f"kind=huggingface_auto,model={probe.TOKENIZER}",
        "output": f"kind=json,path={report}",
    }
    options = [word for name, value in given.items() for word in (f"--{name}", value)]
    done = subprocess.run(
        [sys.executable, "-m", "guidellm", "run", "--disable-console", *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=probe.SCRATCH,
    )
    sys.stderr.write(done.stdout + done.stderr)
    last = (done.stderr.strip().splitlines() or ["nothing"])[-1]
    check(done.returncode == 0, f"exit status {done.returncode}: {last}")
    found: dict[str, Any] = json.loads(report.read_text("utf-8"))
    return found


def _complete(report: dict[str, Any]) -> None:
    requests = report["benchmarks"][0]["requests"]
    failed = [one["info"].get("error") for one in requests["errored"]]
    same(failed, [], "failed requests")
    same(len(requests["successful"]), _REQUESTS, "requests that succeeded")
    for one in requests["successful"]:
        same(one["output_tokens"], _OUTPUT_TOKENS, "output_tokens")


@scenario("a concurrent benchmark of chat completions with synthetic data", column="streaming")
def chat() -> None:
    _complete(_run("/v1/chat/completions"))


@scenario("the same of text completions", column="streaming")
def completions() -> None:
    _complete(_run("/v1/completions"))


probe.run()
