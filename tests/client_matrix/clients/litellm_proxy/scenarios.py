"""LiteLLM's proxy before us, asked by Anthropic's SDK and in OpenAI's form."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import anthropic
import anthropic_scenarios
import probe
from probe import check, same, scenario

_START_S = 120.0
_KEY = "sk-matrix"


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _start(port: int) -> subprocess.Popen[bytes]:
    reached = {"api_base": probe.BASE_URL, "api_key": probe.KEY}
    models = [
        {"model_name": name, "litellm_params": {"model": f"openai/{name}", **reached}}
        for name in (probe.MODEL, probe.EMBEDDING)
    ]
    config = Path(probe.SCRATCH) / "proxy.json"  # JSON is YAML
    config.write_text(
        json.dumps({"model_list": models, "general_settings": {"master_key": _KEY}}), "utf-8"
    )
    log = (Path(probe.SCRATCH) / "proxy.log").open("wb")
    argv = [str(Path(sys.executable).parent / "litellm"), "--config", str(config)]
    return subprocess.Popen(
        [*argv, "--host", "127.0.0.1", "--port", str(port)],
        stdout=log,
        stderr=log,
        env={**os.environ, "NO_DOCS": "True", "DISABLE_ADMIN_UI": "True"},
    )


def _asked(path: str, body: dict[str, Any] | None = None) -> Any:
    request = urllib.request.Request(
        f"{url}{path}",
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {_KEY}"},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.loads(answer.read())


def _wait(process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < until:
        try:
            _asked("/health/liveliness")
            return
        except OSError:
            time.sleep(0.2)
    raise SystemExit(f"the proxy did not start; its log is {probe.SCRATCH}/proxy.log")


port = _free_port()
url = f"http://127.0.0.1:{port}"
QUESTION = [{"role": "user", "content": probe.QUESTION}]


@scenario("OpenAI's form through the proxy", column="chat")
def chat() -> None:
    body = {"model": probe.MODEL, "messages": QUESTION, "max_tokens": 24}
    check(_asked("/v1/chat/completions", body)["choices"][0]["message"]["content"], "no text")


@scenario("embeddings through the proxy", column="embeddings")
def embeddings() -> None:
    found = _asked("/v1/embeddings", {"model": probe.EMBEDDING, "input": ["a house"]})
    same(len(found["data"][0]["embedding"]), probe.DIMENSIONS, "dimensions")


@scenario("its `/health` finds the models healthy")
def health() -> None:
    found = _asked("/health")
    names = [item["model"] for item in found["healthy_endpoints"]]
    check(f"openai/{probe.MODEL}" in names, f"healthy: {names}")


anthropic_scenarios.declare(
    anthropic.Anthropic(base_url=url, api_key=_KEY, max_retries=0, timeout=probe.TIMEOUT_S),
    own=False,
)
proxy = _start(port)
try:
    _wait(proxy)
    probe.run()
finally:
    proxy.terminate()
    proxy.wait(30)
