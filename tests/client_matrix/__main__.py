"""`make test-clients`: run every client's scenarios, and write `docs/clients.md`."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.client_matrix.environments import Environment, InstallError, ensure
from tests.client_matrix.outcomes import ClientRun, Verdict, judge
from tests.client_matrix.page import Facts, render
from tests.client_matrix.roster import CLIENTS, Client, chosen
from tests.client_matrix.saved import load, save
from tests.client_matrix.scripts import end_all, run_script
from tests.client_matrix.stack import EMBEDDING, TEXT, build_bundles, served, write_tokenizer
from tests.conftest import RunningStack

_ROOT = Path(__file__).parents[2]
_HOME = _ROOT / ".scratch" / "clients"
_SHARED = Path(__file__).parent / "shared"
_PAGE = _ROOT / "docs" / "clients.md"
_LAST_LINES = 12
#: They would fetch price tables and report usage.
_QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "LANGSMITH_TRACING": "false",
    "LANGCHAIN_TRACING_V2": "false",
    "ANONYMIZED_TELEMETRY": "False",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "NEXT_TELEMETRY_DISABLED": "1",
}
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def main() -> int:
    """Run them; the exit status is 1 if something that is promised failed."""
    # `timeout` and CI end a run so: neither the stack nor a client must outlive it.
    signal.signal(signal.SIGTERM, _terminated)
    options = _options()
    clients = chosen(options.only)
    _HOME.mkdir(parents=True, exist_ok=True)
    environments = {client.name: _environment(client) for client in clients}
    shared = os.environ.get("ENGINEHOUSE_TEST_BUNDLES")
    bundles = build_bundles(Path(shared) if shared else _HOME)
    with served(bundles) as stack:
        reached = _reached(stack, write_tokenizer(bundles[TEXT], _HOME / "tokenizer"))
        # The imports of one overlap the answers to another.
        with ThreadPoolExecutor(options.jobs) as pool:
            runs = list(pool.map(lambda one: _run(one, environments[one.name], reached), clients))
    if options.only is None or options.write:
        write_page()
    return 0 if all(run.promised for run in runs) else 1


def write_page() -> None:
    """Write the page from the last run of each client."""
    kept = [load(_HOME / client.name) for client in CLIENTS]
    _PAGE.write_text(render([run for run in kept if run], _facts()), "utf-8")
    _tell(f"wrote {_PAGE.relative_to(_ROOT)}")


def _terminated(*_: object) -> None:
    end_all()
    sys.exit(128 + signal.SIGTERM)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="clients by name, comma between two; no page is written")
    parser.add_argument("--jobs", type=int, default=3, help="clients at once")
    parser.add_argument(
        "--write",
        action="store_true",
        help="write the page all the same, with the last run of the others",
    )
    return parser.parse_args()


def _environment(client: Client) -> Environment | InstallError:
    _tell(f"{client.title}: environment")
    try:
        return ensure(client, _HOME)
    except InstallError as error:
        return error


def _run(
    client: Client, environment: Environment | InstallError, reached: dict[str, str]
) -> ClientRun:
    if isinstance(environment, InstallError):
        run = ClientRun(client.title, (), failure=f"not installed: {environment}")
    else:
        run = _judged(client, environment, reached)
    run = replace(run, date=datetime.now(UTC).date().isoformat())
    save(run, _HOME / client.name)
    _tell_run(client, run)
    return run


def _judged(client: Client, environment: Environment, reached: dict[str, str]) -> ClientRun:
    scratch = environment.home / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    log = environment.home / "run.log"
    said = run_script(
        environment.command, environment.home, _env(scratch, reached), log, client.timeout_s
    )
    last = log.read_text("utf-8", errors="replace").strip().splitlines()[-_LAST_LINES:]
    versions = environment.versions or (f"written from {client.source}",)
    return judge(client.title, versions, said.output, " ".join([said.status, *last[-1:]]))


def _reached(stack: RunningStack, tokenizer: Path) -> dict[str, str]:
    """What scenarios are told of the stack; see shared/probe.py."""
    addresses = stack.settings.addresses
    return {
        "MATRIX_BASE_URL": f"{addresses.api_url}/v1",
        "MATRIX_MODEL": TEXT,
        "MATRIX_EMBEDDING": EMBEDDING,
        "MATRIX_TOKENIZER": str(tokenizer),
        "MATRIX_TRITON_HTTP": addresses.triton_http_url,
        "MATRIX_TRITON_GRPC": addresses.triton_grpc_url,
        "MATRIX_TRITON_METRICS": addresses.triton_metrics_url,
    }


def _env(scratch: Path, reached: dict[str, str]) -> dict[str, str]:
    dropped = {*_PROXIES, *(name.lower() for name in _PROXIES), "PYTHONPATH"}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in dropped and not name.startswith(("OPENAI_", "ANTHROPIC_", "LITELLM_"))
    }
    own = {
        "MATRIX_SCRATCH": str(scratch),
        "HF_HOME": str(scratch / "hf"),
        "PYTHONPATH": str(_SHARED),
    }
    return {**kept, **_QUIET, **reached, **own}


def _facts() -> Facts:
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return Facts(version("enginehouse"), system)


def _tell_run(client: Client, run: ClientRun) -> None:
    worked = sum(one.verdict == Verdict.WORKS for one in run.outcomes)
    _tell(
        f"{client.title}: {worked} of {len(run.outcomes)}" + (f" {run.failure}" * bool(run.failure))
    )
    for one in run.outcomes:
        if one.verdict == Verdict.FAILED:
            _tell(f"  FAILED {one.scenario}: {one.detail}")
    for name in run.surprises:
        _tell(f"  works now, its limit can go: {name}")


def _tell(sentence: str) -> None:
    print(sentence, flush=True)


if __name__ == "__main__":
    sys.exit(main())
