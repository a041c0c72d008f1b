"""Two adapters in front of one engine, with Redis and PostgreSQL that they share."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from enginehouse.perf.runtimes import token_generator
from enginehouse.stack.process import ManagedProcess

from enginehouse.bundle import Bundle
from tests.conftest import (
    RunningStack,
    call_cli,
    copied_home,
    free_ports,
    running_stack,
    stack_env,
    wait_until,
)
from tests.gateway.tracing.collector import Collector
from tests.postgres_server import PostgresServer
from tests.redis_server import RedisServer

_FILE = """
limits:
  adapters: 2
  # An outage is a closed port here; a slow answer on a busy machine is none.
  store_timeout_ms: 5000
  tenants:
    tight: {requests_per_minute: 10}
    thrifty: {daily_tokens: 400}
    single: {concurrent: 1}
ledger:
  enabled: true
  currency: EUR
  prices: [{model: smollm2, prompt_per_million: 1, completion_per_million: 2}]
audit: {enabled: true, content: digest}
cache: {enabled: true, store: redis}
content:
  input: [{type: patterns, name: forbidden, words: [Bluebird], action: block}]
  output: [{type: pii, kinds: [email]}]
models: {aliases: {house-model: smollm2}}
"""


@dataclass
class Shared:
    """The stack, its second adapter, and the servers that both adapters share."""

    stack: RunningStack
    redis: RedisServer
    postgres: PostgresServer
    second_url: str
    second: ManagedProcess
    collector: Collector

    @property
    def urls(self) -> tuple[str, str]:
        return self.stack.url, self.second_url

    def key(self, tenant: str, *options: str) -> str:
        """A new key of a tenant."""
        done = call_cli(self.stack.env, "keys", "create", "--tenant", tenant, *options)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def start_second(self) -> None:
        """The second adapter, which `up` knows nothing of."""
        port = self.second_url.rpartition(":")[2]
        env = self.stack.env | {"ENGINEHOUSE_API_PORT": port}
        log = self.stack.settings.logs_dir / "api-2.log"
        argv = [sys.executable, "-m", "enginehouse.api"]
        self.second = ManagedProcess("api-2", argv, env, log)
        wait_until(self._second_ready, "the second adapter", 90.0)

    def _second_ready(self) -> bool:
        assert self.second.running(), self.second.log_tail(40)
        try:
            answer = httpx.get(f"{self.second_url}/health/ready", timeout=30.0)
            print(answer.status_code, answer.text[:300])
            return answer.is_success
        except httpx.HTTPError:
            return False

    def usage(self, tenant: str) -> dict[str, Any]:
        """The one row of a tenant's usage."""
        done = call_cli(self.stack.env, "usage", "--tenant", tenant, "--by", "tenant", "--json")
        assert done.returncode == 0, done.stderr
        rows = json.loads(done.stdout)
        rows = rows["rows"] if isinstance(rows, dict) else rows
        assert len(rows) == 1, rows
        found: dict[str, Any] = rows[0]
        return found


def ask(url: str, key: str, text: str, **fields: Any) -> httpx.Response:
    """A short chat."""
    body = {
        "model": "smollm2",
        "messages": [{"role": "user", "content": text}],
        "temperature": 0,
        "max_tokens": 8,
    }
    return httpx.post(
        f"{url}/v1/chat/completions",
        json=body | fields,
        headers={"Authorization": f"Bearer {key}"},
        timeout=60.0,
    )


@pytest.fixture(scope="session")
def shared(
    whole_machine: None, tmp_path_factory: pytest.TempPathFactory, generator_bundle: Bundle
) -> Iterator[Shared]:
    home = tmp_path_factory.mktemp("shared")
    copied_home(home, generator_bundle)
    (home / "endpoint.yaml").write_text(_FILE)
    redis, postgres = RedisServer(), PostgresServer()
    redis.start()
    collector = Collector().__enter__()
    try:
        env = stack_env(home) | {
            token_generator.STEP_VARIABLE: "20",
            "ENGINEHOUSE_KEYS": "true",
            "ENGINEHOUSE_REDIS_URL": redis.url,
            "ENGINEHOUSE_DATABASE_URL": postgres.new_database(),
            "ENGINEHOUSE_OTLP_ENDPOINT": collector.url,
            # Only what the caller's own trace asks for.
            "ENGINEHOUSE_OTLP_SHARE": "0",
        }
        with running_stack(env) as stack:
            url = f"http://127.0.0.1:{free_ports(1)[0]}"
            found = Shared(stack, redis, postgres, url, stack.process, collector)
            found.start_second()
            yield found
            found.second.stop(5.0)
    finally:
        collector.__exit__(None, None, None)
        redis.kill()
        postgres.stop()
