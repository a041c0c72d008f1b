from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from enginehouse.api.call import Ask, Call, ServedBy
from enginehouse.api.caller import Caller
from enginehouse.api.generation import TextChunk, Usage
from enginehouse.gateway.audit.config import AuditConfig
from enginehouse.gateway.audit.records import AuditRecordKind
from enginehouse.gateway.audit.stage import Audit, open_audit
from enginehouse.gateway.audit.verify import verify
from enginehouse.gateway.models.settings import ModelsConfig, ModelSettings
from prometheus_client import CollectorRegistry

from enginehouse.errors import EngineUnavailableError, RateLimitError, StoreError
from enginehouse.generation import FinishReason
from tests.gateway.audit.audit_parts import all_records
from tests.gateway.through import Answer, answered_with, text_call, through

_PROMPT = "what is the hidden word"
_ANSWER = ["the secret", " answer"]


async def _answers(call: Call) -> AsyncGenerator[TextChunk, None]:
    by = ServedBy("smollm2", 7, "smollm2@7")
    answered_with(call, by)
    call.findings["content"] = {"rules": ["words"], "found": 1}
    try:
        yield TextChunk(_ANSWER[0])
        yield TextChunk(_ANSWER[1], finish=FinishReason.STOP)
    finally:
        answered_with(call, by, Usage(11, 2))


def _call() -> Call:
    return text_call(
        Ask("chat.completions", "chatcmpl", stream=True),
        "smollm2",
        caller=Caller("acme", "k1"),
        messages=[{"role": "user", "content": _PROMPT}],
        request_id="theirs",
        id="chatcmpl-1",
    )


async def _run(stage: Audit, behind: Answer[Call], most: int = 99) -> None:
    async with aclosing(through(stage, _call(), behind)) as pieces:
        async for _ in pieces:
            most -= 1
            if not most:
                return


def _record(directory: Path, behind: Answer[Call], *, most: int = 99, **config: Any) -> Mapping:
    """What one call leaves in a trail."""

    async def scenario() -> None:
        whole = AuditConfig.model_validate({"enabled": True, **config})
        registry = CollectorRegistry()
        async with open_audit(directory, whole, directory / "audit.key", registry) as stage:
            await _run(stage, behind, most)

    asyncio.run(scenario())
    verify(directory)
    (record,) = [record for record in all_records(directory) if record.kind is AuditRecordKind.CALL]
    return record.fields


def test_a_record_says_who_asked_what_and_what_came_of_it(tmp_path: Path) -> None:
    found = _record(tmp_path, _answers)
    expected = {
        "outcome": "ok", "code": None, "status": 200, "id": "chatcmpl-1", "request_id": "theirs",
        "tenant": "acme", "key_id": "k1", "endpoint": "chat.completions",
        "asked_model": "smollm2", "model": "smollm2", "version": 7, "source": "engine",
        "prompt_tokens": 11, "completion_tokens": 2,
        "verdicts": {"content": {"rules": ["words"], "found": 1}},
    }  # fmt: skip
    assert {name: found[name] for name in expected} == expected


def test_the_name_that_was_asked_for_is_kept_and_not_what_it_stands_for(tmp_path: Path) -> None:
    settings = ModelSettings(ModelsConfig(aliases={"smollm2": "other"}))

    async def aliased(call: Call) -> AsyncGenerator[TextChunk, None]:
        async with aclosing(through(settings, call, _answers)) as pieces:
            async for piece in pieces:
                assert call.model == "other"
                yield piece

    assert _record(tmp_path, aliased)["asked_model"] == "smollm2"


@pytest.mark.parametrize("content", ["none", "digest", "text"])
def test_texts_are_in_the_trail_only_by_policy_and_never_in_a_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    with caplog.at_level(logging.DEBUG):
        found = _record(tmp_path, _answers, content=content)
    written = b"".join(path.read_bytes() for path in tmp_path.glob("*.jsonl")).decode()
    for text in (_PROMPT, "secret"):
        assert (text in written) == (content == "text")
        assert text not in caplog.text
    if content == "text":
        assert found["prompt"] == [{"role": "user", "content": _PROMPT}]
        assert found["answer"] == ["the secret answer"]
    if content == "digest":
        key = (tmp_path / "audit.key").read_bytes()
        text = json.dumps(["the secret answer"], separators=(",", ":")).encode()
        assert found["answer_digest"] == hmac.new(key, text, hashlib.sha256).hexdigest()
        assert found["prompt_digest"] != found["answer_digest"]
    if content == "none":
        assert not {"prompt", "answer", "prompt_digest", "answer_digest"} & set(found)


def _failing(error: Exception, pieces: int) -> Answer[Call]:
    async def run(call: Call) -> AsyncGenerator[TextChunk, None]:
        async with aclosing(_answers(call)) as source:
            for _ in range(pieces):
                yield await anext(source)
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "pieces", "outcome", "code", "status"),
    [
        (RateLimitError("slower"), 0, "refused", "rate_limit_exceeded", 429),
        (EngineUnavailableError("gone"), 1, "failed", "engine_unavailable", 503),
        (StoreError("full"), 0, "refused", "internal_error", 503),
        (RuntimeError("a bug"), 1, "failed", "internal_error", 500),
    ],
)
def test_refusals_and_failures_are_recorded_by_code(
    tmp_path: Path, error: Exception, pieces: int, outcome: str, code: str, status: int
) -> None:
    async def scenario() -> None:
        registry = CollectorRegistry()
        config = AuditConfig(enabled=True)
        async with open_audit(tmp_path, config, tmp_path / "audit.key", registry) as stage:
            with pytest.raises(type(error)):
                await _run(stage, _failing(error, pieces))

    asyncio.run(scenario())
    (record,) = [record for record in all_records(tmp_path) if record.kind is AuditRecordKind.CALL]
    found = (record.fields["outcome"], record.fields["code"], record.fields["status"])
    assert found == (outcome, code, status)


def test_a_caller_who_left_is_recorded_with_what_went_out(tmp_path: Path) -> None:
    found = _record(tmp_path, _answers, most=1, content="text")
    assert (found["outcome"], found["code"], found["status"]) == ("cancelled", "cancelled", None)
    assert (found["answer"], found["completion_tokens"]) == (["the secret"], 2)


def test_variables_of_a_managed_prompt_are_no_verdict(tmp_path: Path) -> None:
    async def noted(call: Call) -> AsyncGenerator[TextChunk, None]:
        call.managed_prompt = {"id": "greeting", "version": 3, "variables": {"name": _PROMPT}}
        call.findings["prompt"] = {"id": "greeting", "version": 3}
        async with aclosing(_answers(call)) as pieces:
            async for piece in pieces:
                yield piece

    found = _record(tmp_path, noted)
    assert found["verdicts"]["prompt"] == {"id": "greeting", "version": 3}
    assert _PROMPT not in str(found["verdicts"])
