"""What two adapters share: keys, limits, ledger, cache; and what survives a server's death."""

from __future__ import annotations

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import sqlalchemy

from tests.conftest import call_cli, wait_until
from tests.endpoint.conftest import Shared, ask

_SECRET_PROMPT = "My aunt's parrot is called Zebulon-7731"


def test_without_a_key_nobody_is_let_in_and_triton_s_control_is_closed(shared: Shared) -> None:
    for url in shared.urls:
        refused = httpx.post(f"{url}/v1/chat/completions", json={"model": "smollm2"})
        assert refused.status_code == 401
        assert refused.json()["error"]["code"] == "invalid_api_key"
        assert refused.headers["www-authenticate"] == "Bearer"
    triton = shared.stack.settings.addresses.triton_http_url
    unload = httpx.post(f"{triton}/v2/repository/models/smollm2/unload")
    assert unload.status_code == 403


def test_a_key_opens_its_models_on_both_adapters_until_it_is_revoked(shared: Shared) -> None:
    key = shared.key("acme", "--model", "smollm2")
    for url in shared.urls:
        answer = ask(url, key, "Say yes.")
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-request-id"]
    other = shared.key("acme", "--model", "another-model")
    assert ask(shared.stack.url, other, "Say yes.").status_code == 403
    revoked = call_cli(shared.stack.env, "keys", "revoke", key.split("_")[1])
    assert revoked.returncode == 0, revoked.stderr
    for url in shared.urls:
        wait_until(lambda url=url: ask(url, key, "Hm?").status_code == 401, "the end", 10.0)  # type: ignore[misc]


def test_a_limit_holds_over_both_adapters_together(shared: Shared) -> None:
    key = shared.key("tight")

    def one(number: int) -> httpx.Response:
        return ask(shared.urls[number % 2], key, f"Count {number}.", max_tokens=1)

    with ThreadPoolExecutor(25) as pool:
        answers = list(pool.map(one, range(25)))
    assert Counter(a.status_code for a in answers) == {200: 10, 429: 15}
    refused = next(a for a in answers if a.status_code == 429)
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["x-ratelimit-limit-requests"] == "10"
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"


def test_a_budget_holds_over_both_adapters_together(shared: Shared) -> None:
    key = shared.key("thrifty")

    def one(number: int) -> httpx.Response:
        return ask(shared.urls[number % 2], key, f"Count {number}.", max_tokens=20, ignore_eos=True)

    with ThreadPoolExecutor(25) as pool:
        answers = list(pool.map(one, range(25)))
    assert {a.status_code for a in answers} == {200, 429}
    spent = sum(a.json()["usage"]["total_tokens"] for a in answers if a.status_code == 200)
    # The next one would not have fitted, or calls were in flight that might have taken it all.
    assert 0 < spent <= 400
    refused = next(a for a in answers if a.status_code == 429)
    assert refused.json()["error"]["code"] == "insufficient_quota"


def test_a_caller_with_one_place_finds_it_free_after_each_answer(shared: Shared) -> None:
    key = shared.key("single")
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=shared.urls[0], headers=headers, timeout=60.0) as http:
        for number in range(40):
            body = {
                "model": "smollm2",
                "messages": [{"role": "user", "content": f"Count {number}."}],
                "max_tokens": 1,
                "stream": bool(number % 2),
            }
            answer = http.post("/v1/chat/completions", json=body)
            assert answer.status_code == 200, answer.text


def test_one_adapter_answers_from_what_the_other_has_cached(shared: Shared) -> None:
    key = shared.key("cached")
    first = ask(shared.urls[0], key, "Name a colour.", max_tokens=12)
    again = ask(shared.urls[1], key, "Name a colour.", max_tokens=12)
    assert first.headers["x-enginehouse-cache"] == "miss"
    assert again.headers["x-enginehouse-cache"] == "hit"
    text = first.json()["choices"][0]["message"]["content"]
    assert again.json()["choices"][0]["message"]["content"] == text
    assert again.json()["usage"] == first.json()["usage"]
    streamed = ask(shared.urls[1], key, "Name a colour.", max_tokens=12, stream=True)
    events = [line.removeprefix("data: ") for line in streamed.text.splitlines() if line]
    assert events[-1] == "[DONE]"
    deltas = [json.loads(e)["choices"][0]["delta"].get("content") or "" for e in events[:-1]]
    assert "".join(deltas) == text
    page = httpx.get(f"{shared.urls[1]}/metrics").text
    assert "enginehouse_cache" in page
    sampled = ask(shared.urls[1], key, "Name a colour.", max_tokens=12, temperature=1.0)
    assert sampled.headers.get("x-enginehouse-cache") != "hit"


def test_an_alias_is_answered_by_its_model(shared: Shared) -> None:
    key = shared.key("alias")
    answer = ask(shared.stack.url, key, "Say yes.", model="house-model")
    assert answer.json()["model"] == "smollm2"
    headers = {"Authorization": f"Bearer {key}"}
    listed = httpx.get(f"{shared.stack.url}/v1/models", headers=headers).json()["data"]
    found = {entry["id"]: entry["enginehouse"] for entry in listed}
    assert found["house-model"]["alias_of"] == "smollm2"


def test_a_forbidden_word_is_refused_before_the_engine_is_asked(shared: Shared) -> None:
    key = shared.key("content")
    refused = ask(shared.stack.url, key, "Tell me about project Bluebird.")
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "content_filter"
    assert "Bluebird" not in refused.text


def test_the_ledger_counts_both_adapters_and_prices_them(shared: Shared) -> None:
    key = shared.key("ledger")
    answers = [ask(url, key, f"Say {n}.", max_tokens=3) for n, url in enumerate(shared.urls * 3)]
    usages = [answer.json()["usage"] for answer in answers]
    wait_until(lambda: shared.usage("ledger")["requests"] == len(answers), "the last of them", 20.0)
    row = shared.usage("ledger")
    prompts = sum(usage["prompt_tokens"] for usage in usages)
    completions = sum(usage["completion_tokens"] for usage in usages)
    assert (row["requests"], row["prompt_tokens"], row["completion_tokens"]) == (
        6,
        prompts,
        completions,
    )
    assert float(row["cost"]) * 1e6 == prompts + 2 * completions


def test_killing_redis_loses_no_request(shared: Shared) -> None:
    key = shared.key("steady")
    failed: list[str] = []

    def one(number: int) -> None:
        answer = ask(shared.urls[number % 2], key, f"Count {number}.", max_tokens=2)
        if answer.status_code != 200:
            failed.append(f"{answer.status_code} {answer.text}")
        if number == 20:
            shared.redis.kill()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(60)))
    assert failed == []
    shared.redis.start()
    wait_until(lambda: _cached_again(shared, key), "the cache", 60.0)


def _cached_again(shared: Shared, key: str) -> bool:
    ask(shared.urls[0], key, "Name a river.")
    return ask(shared.urls[1], key, "Name a river.").headers["x-enginehouse-cache"] == "hit"


def test_an_adapter_killed_in_the_middle_leaves_the_ledger_exact(shared: Shared) -> None:
    key = shared.key("killed")
    answered: list[str] = []
    broken = 0

    def one(number: int) -> None:
        nonlocal broken
        try:
            answer = ask(shared.second_url, key, f"Count to {number}.", max_tokens=4)
        except httpx.HTTPError:
            broken += 1
            return
        assert answer.status_code == 200, answer.text
        answered.append(answer.json()["id"])
        if len(answered) == 30:
            shared.second.kill()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(120)))
    assert broken > 0
    assert len(answered) >= 30
    # What it had only on disk is moved to the database by the next one that starts there.
    shared.start_second()
    wait_until(lambda: set(answered) <= _billed(shared, "killed").keys(), "what it left", 30.0)
    billed = _billed(shared, "killed")
    print(f"answered {len(answered)}, broken {broken}, billed {len(billed)}")
    assert set(billed.values()) == {1}
    # One that was billed and not answered was cut between its record and its last byte.
    assert len(billed) - len(answered) <= 8


def _billed(shared: Shared, tenant: str) -> Counter[str]:
    """Ids of a tenant's answers → rows that they have."""
    engine = sqlalchemy.create_engine(shared.stack.settings.database_url)
    with engine.connect() as connection:
        query = sqlalchemy.text("SELECT id FROM usage WHERE tenant = :tenant")
        found = Counter(connection.execute(query, {"tenant": tenant}).scalars())
    engine.dispose()
    return found


def test_the_audit_trail_holds_and_no_log_has_a_prompt_an_answer_or_a_key(shared: Shared) -> None:
    key = shared.key("private")
    answer = ask(shared.second_url, key, _SECRET_PROMPT, max_tokens=16)
    text = answer.json()["choices"][0]["message"]["content"]
    wait_until(lambda: answer.json()["id"] in _trail(shared), "the record", 20.0)
    verified = call_cli(shared.stack.env, "audit", "verify", "--allow-open")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    secret = key.rpartition("_")[2]
    logs = sorted(shared.stack.settings.logs_dir.glob("*.log"))
    assert len(logs) >= 4
    for path in (*logs, shared.stack.settings.home / "up.log"):
        content = path.read_text(errors="replace")
        for hidden in ("Zebulon", text, secret):
            assert hidden not in content, path
    assert "Zebulon" not in _trail(shared)


def _trail(shared: Shared) -> str:
    return "".join(p.read_text() for p in Path(shared.stack.settings.audit_dir).glob("*.jsonl"))


def test_a_timeout_of_the_caller_reaches_the_engine(shared: Shared) -> None:
    key = shared.key("hasty")
    body = {"model": "smollm2", "prompt": "1 2 3", "max_tokens": 4000, "ignore_eos": True}
    began = time.monotonic()
    answer = httpx.post(
        f"{shared.stack.url}/v1/completions",
        json=body,
        headers={"Authorization": f"Bearer {key}", "x-request-timeout": "1.5"},
        timeout=60.0,
    )
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "deadline_exceeded"
    assert time.monotonic() - began < 30
    wait_until(lambda: shared.stack.engine_metric("requests_in_flight") == 0, "an idle engine")


def test_a_trace_goes_from_the_caller_to_the_engine_s_phases(shared: Shared) -> None:
    key = shared.key("traced")
    trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    answer = httpx.post(
        f"{shared.stack.url}/v1/completions",
        json={"model": "smollm2", "prompt": "One, two,", "max_tokens": 6, "ignore_eos": True},
        headers={"Authorization": f"Bearer {key}", "traceparent": f"00-{trace}-{parent}-01"},
        timeout=60.0,
    )
    assert answer.status_code == 200, answer.text
    spans = shared.collector.wait_for("queue", "prefill", "decode", timeout_s=60.0)
    assert {span.trace_id.hex() for span in spans.values()} == {trace}
    wait_until(lambda: len(shared.collector.services()) == 2, "spans of both processes")
    everything = [span for span in shared.collector.spans() if span.trace_id.hex() == trace]
    assert parent in {span.parent_span_id.hex() for span in everything}
    ids = {span.span_id for span in everything}
    orphans = [span for span in everything if span.parent_span_id not in ids]
    assert [span.parent_span_id.hex() for span in orphans] == [parent]
    assert "One, two" not in str(everything)
