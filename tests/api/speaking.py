"""An adapter in front of a replica that says what it is told to, token by token."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from enginehouse.api.app import create_app
from enginehouse.api.revision import Revision
from enginehouse.client import Deadlines, Target
from starlette.testclient import TestClient

from enginehouse.errors import ServingError
from enginehouse.generation import Chunk, FinishReason, GenerationRequest
from enginehouse.manifest import EngineManifest, SpecialTokens
from enginehouse.settings import ApiSettings, EndpointSettings, Settings
from enginehouse.text import ChatTemplate
from tests.client.fakes import FakeFleet, FakeReplica, generator
from tests.conftest import wait_until
from tests.default_model import default_model, default_tokenizer
from tests.fake_bundle import fake_bundle

IM_END = 2
Build = Callable[[str, int], Revision]


def manifest_at(path: Path, *, context_length: int = 2048) -> EngineManifest:
    special = SpecialTokens(bos_id=None, end_ids=(IM_END,), pad_id=IM_END, add_bos=False)
    return fake_bundle(path, special_tokens=special, context_length=context_length).manifest


@dataclass
class Speaker(FakeReplica):
    """Answers each request with the next of its texts, truncated at the request's limit."""

    says: deque[str] = field(default_factory=deque)
    refusal: ServingError | None = None
    prompt_log_prob: float | None = None

    async def generate(
        self, target: Target, request: GenerationRequest, *, deadlines: Deadlines | None = None
    ) -> AsyncGenerator[Chunk, None]:
        self.asked.append((target, request))
        if self.refusal is not None:
            raise self.refusal
        ids = default_tokenizer().encode(self.says.popleft())
        shown = ids[: request.max_tokens]
        cut = len(shown) < len(ids)
        told = [] if self.prompt_log_prob is None else [self.prompt_log_prob]
        of_prompt = told * len(request.input_ids)
        for token_id in shown:
            yield Chunk([token_id], [-0.5], prompt_log_probs=of_prompt)
            of_prompt = []
        if cut:
            yield Chunk([], [], FinishReason.LENGTH)
        else:
            yield Chunk([IM_END], [-0.1], FinishReason.STOP)


@dataclass
class Adapter:
    """The adapter over HTTP, and the replica behind it."""

    http: TestClient
    replica: Speaker
    revision: Revision

    def chat(self, *says: str, status: int = 200, **body: Any) -> Any:
        """The body of a chat answer; `says` is what the model says, one text an answer."""
        self.replica.says.extend(says)
        whole = {"model": "smollm2", "messages": [{"role": "user", "content": "Hi"}]} | body
        answer = self.http.post("/v1/chat/completions", json=whole)
        assert answer.status_code == status, answer.text
        return events(answer.text) if body.get("stream") and status == 200 else answer.json()

    def complete(self, *says: str, status: int = 200, **body: Any) -> Any:
        """The body of a completion."""
        self.replica.says.extend(says)
        answer = self.http.post("/v1/completions", json={"model": "smollm2"} | body)
        assert answer.status_code == status, answer.text
        return events(answer.text) if body.get("stream") and status == 200 else answer.json()

    def prompt(self) -> str:
        """What the model was shown last."""
        ids = self.replica.asked[-1][1].input_ids
        return self.revision.tokenizer.decode(ids, skip_special_tokens=False)

    def guide(self) -> Any:
        """The constraint that the model was last asked under."""
        return self.replica.asked[-1][1].guide


def events(text: str) -> list[Any]:
    """The JSON of server-sent events that end as they should."""
    lines = [line for line in text.splitlines() if line]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


@contextmanager
def speaking(
    home: Path, template: str | None = None, *, keys: bool = False, **api: Any
) -> Iterator[Adapter]:
    """An adapter whose model has this chat template; None is the default model's."""
    tokenizer = default_tokenizer()
    own = default_model().chat_template
    compiled = ChatTemplate(own if template is None else template, tokenizer)
    manifest = manifest_at(home / "bundle")
    fake = generator(1)
    replica = Speaker(fake.loaded, pins=fake.pins)

    def opened(name: str, version: int) -> Revision:
        return Revision(Target(name, version), manifest, tokenizer, compiled)

    settings = Settings(
        home=home,
        fleet="host:1",
        api=ApiSettings(**api),
        endpoint=EndpointSettings(keys=keys),
    )
    app = create_app(settings, connect=FakeFleet([replica]).connect, open_version=opened)
    with TestClient(app) as http:
        wait_until(lambda: keys or bool(http.get("/v1/models").json()["data"]), "the model")
        yield Adapter(http, replica, opened("smollm2", 1))
