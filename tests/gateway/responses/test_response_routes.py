"""`/v1/responses` through the SDK, in front of a pipeline that says what a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from enginehouse.api.begun import begin
from enginehouse.api.call import Ask, ServedBy, Shape, TextCall
from enginehouse.api.caller import Caller
from enginehouse.api.errors import install_error_handlers
from enginehouse.api.generation import TextChunk, Usage
from enginehouse.api.streaming import EventStream
from enginehouse.gateway.database.database import Database
from enginehouse.gateway.responses.events import ResponseWriter
from enginehouse.gateway.responses.routes import router
from enginehouse.gateway.responses.store import ResponseStore
from enginehouse.gateway.responses.stream import ResponseEvents
from fastapi import FastAPI
from openai import BadRequestError, NotFoundError, OpenAI
from pydantic import BaseModel
from starlette.requests import Request
from starlette.testclient import TestClient
from starlette.types import Message

from enginehouse.errors import EngineUnavailableError, QueueFullError
from enginehouse.generation import FinishReason
from tests.gateway.through import NotAsked, answered_with, text_call, way_to


@dataclass
class Model:
    """Says its lines; an exception among them is raised there."""

    says: list[Any] = field(default_factory=lambda: ["Hel", "lo"])
    finish: FinishReason = FinishReason.STOP
    calls: list[TextCall] = field(default_factory=list)
    tool_calls: list[dict[str, Any]] = field(default_factory=list)

    async def pipeline(self, call: TextCall) -> AsyncGenerator[TextChunk, None]:
        self.calls.append(call)
        if self.tool_calls:
            call.form = _Calling(self._calling())
        for index, text in enumerate(self.says):
            if isinstance(text, Exception):
                raise text
            by = ServedBy("m", 1, "m@1")
            last = index == len(self.says) - 1
            answered_with(call, by, Usage(3, index + 1))
            yield TextChunk(text, finish=self.finish if last else None)

    def _calling(self) -> Shape:
        said = {"role": "assistant", "content": None, "tool_calls": self.tool_calls}
        choice = {"index": 0, "finish_reason": "tool_calls", "logprobs": None}
        delta = {**choice, "delta": said}
        return Shape("", "", None, lambda p: [delta] if p.finish else [], lambda _: {
            **choice, "message": said,
        })  # fmt: skip


@dataclass(frozen=True)
class _Calling(NotAsked):
    written: Shape

    def shape(self, call: Any, answered: Any) -> Shape:
        return self.written


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def http(model: Model, store: ResponseStore) -> Iterator[TestClient]:
    app = FastAPI()
    install_error_handlers(app)
    app.include_router(router)
    app.state.responses = store
    app.state.enginehouse = SimpleNamespace(
        text=way_to(model.pipeline),
        engine=None,
    )

    @app.middleware("http")
    async def as_tenant(request: Request, call_next: Any) -> Any:
        request.state.caller = Caller(tenant=request.headers.get("tenant", "a"))
        return await call_next(request)

    with TestClient(app) as client:
        yield client


@pytest.fixture
def client(http: TestClient) -> OpenAI:
    return OpenAI(api_key="none", base_url="http://testserver/v1", http_client=http, max_retries=0)


def test_a_response_is_answered_stored_listed_and_deleted(client: OpenAI) -> None:
    made = client.responses.create(model="m", input="Hi", metadata={"k": "v"})
    assert made.output_text == "Hello"
    assert made.status == "completed"
    assert made.usage is not None
    assert made.usage.total_tokens == 5
    found = client.responses.retrieve(made.id)
    assert found.to_dict() == made.to_dict()
    (item,) = client.responses.input_items.list(made.id).data
    assert item.to_dict()["content"] == [{"type": "input_text", "text": "Hi"}]
    client.responses.delete(made.id)
    with pytest.raises(NotFoundError):
        client.responses.retrieve(made.id)


def test_a_stream_ends_with_the_response_that_is_stored(client: OpenAI) -> None:
    with client.responses.stream(model="m", input="Hi") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert final.output_text == "Hello"
    assert client.responses.retrieve(final.id).output_text == "Hello"


def test_a_conversation_goes_on_without_the_earlier_instructions(
    client: OpenAI, model: Model
) -> None:
    first = client.responses.create(model="m", input="One", instructions="Be short")
    client.responses.create(
        model="m", input="Two", previous_response_id=first.id, instructions="Be long"
    )
    assert model.calls[-1].messages == [
        {"role": "system", "content": "Be long"},
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Two"},
    ]


def test_a_tool_is_called_and_its_output_answered_by_the_id_alone(
    client: OpenAI, model: Model
) -> None:
    tool: Any = {"type": "function", "name": "f", "parameters": {}, "strict": False}
    function = {"name": "f", "arguments": "{}"}
    model.tool_calls = [{"index": 0, "id": "call_1", "type": "function", "function": function}]
    model.says = [""]
    first = client.responses.create(model="m", input="Hi", tools=[tool])
    (call,) = first.output
    assert call.type == "function_call"
    model.tool_calls, model.says = [], ["done"]
    output: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "42"}
    second = client.responses.create(
        model="m", input=[output], previous_response_id=first.id, tools=[tool]
    )
    assert second.output_text == "done"
    roles = [message["role"] for message in model.calls[-1].messages]
    assert roles == ["user", "assistant", "tool"]


def test_structured_answers_are_parsed(client: OpenAI, model: Model) -> None:
    class City(BaseModel):
        name: str

    model.says = ['{"name": ', '"Rome"}']
    parsed = client.responses.parse(model="m", input="Hi", text_format=City)
    assert parsed.output_parsed == City(name="Rome")


def test_store_false_leaves_nothing_behind(client: OpenAI, model: Model) -> None:
    made = client.responses.create(model="m", input="Hi", store=False)
    assert not model.calls[-1].store
    with pytest.raises(NotFoundError):
        client.responses.retrieve(made.id)
    with pytest.raises(BadRequestError, match="store: false"):
        client.responses.create(model="m", input="Hi", previous_response_id=made.id)


def test_other_tenants_are_told_that_there_is_nothing(client: OpenAI) -> None:
    made = client.responses.create(model="m", input="Hi")
    other = client.with_options(default_headers={"tenant": "b"})
    for attempt in (other.responses.retrieve, other.responses.delete):
        with pytest.raises(NotFoundError):
            attempt(made.id)
    with pytest.raises(BadRequestError):
        other.responses.create(model="m", input="Hi", previous_response_id=made.id)


def test_an_error_before_the_first_word_has_its_own_status(http: TestClient, model: Model) -> None:
    model.says = [QueueFullError("full")]
    for stream in (False, True):
        answer = http.post("/v1/responses", json={"model": "m", "input": "Hi", "stream": stream})
        assert answer.status_code == 429


def test_an_error_in_the_middle_is_the_last_event_and_is_stored(
    client: OpenAI, model: Model
) -> None:
    model.says = ["Hel", EngineUnavailableError("gone")]
    events = list(client.responses.create(model="m", input="Hi", stream=True))
    assert events[-1].type == "response.failed"
    found = client.responses.retrieve(events[-1].response.id)
    assert found.status == "failed"
    assert found.output_text == "Hel"


def test_a_database_that_fails_at_the_end_fails_the_response(
    client: OpenAI, http: TestClient, database: Database
) -> None:
    with database.begin() as connection:
        connection.exec_driver_sql("DROP TABLE responses")
    events = list(client.responses.create(model="m", input="Hi", stream=True))
    assert events[-1].type == "response.failed"
    assert [event.type for event in events].count("response.completed") == 0
    answer = http.post("/v1/responses", json={"model": "m", "input": "Hi"})
    assert answer.status_code == 503
    untouched = client.responses.create(model="m", input="Hi", store=False)
    assert untouched.output_text == "Hello"


def test_names_in_errors_are_those_of_this_api(http: TestClient) -> None:
    def refused(**fields: Any) -> Any:
        answer = http.post("/v1/responses", json={"model": "m", "input": "Hi", **fields})
        assert answer.status_code == 400, answer.text
        return answer.json()["error"]["param"]

    assert refused(background=True) == "background"
    assert refused(input=[{"role": "user", "content": [{"type": "input_image"}]}]) == (
        "input[0].content[0]"
    )
    assert refused(nonsense=1) == "nonsense"
    assert refused(previous_response_id="resp_0") == "previous_response_id"
    found = http.get("/v1/responses/resp_0?stream=true")
    assert (found.status_code, found.json()["error"]["param"]) == (400, "stream")


def test_items_are_listed_in_pages(client: OpenAI) -> None:
    items: Any = [{"role": "user", "content": str(number)} for number in range(5)]
    made = client.responses.create(model="m", input=items)
    pages = client.responses.input_items.list(made.id, limit=2, order="asc")
    texts = [item.to_dict()["content"][0]["text"] for item in pages]  # type: ignore[index]
    assert texts == ["0", "1", "2", "3", "4"]


def test_a_caller_who_goes_in_the_middle_leaves_nothing_behind(model: Model) -> None:
    saved: list[Any] = []
    closed: list[bool] = []

    async def keep(body: dict[str, Any]) -> None:
        saved.append(body)

    async def pieces() -> AsyncGenerator[TextChunk, None]:
        try:
            yield TextChunk("a")
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    sent: list[Message] = []
    begun_to_send = asyncio.Event()

    async def send(message: Message) -> None:
        sent.append(message)
        if b"response.in_progress" in message.get("body", b""):
            begun_to_send.set()

    async def receive() -> Message:
        await begun_to_send.wait()
        return {"type": "http.disconnect"}

    async def answer(call: TextCall) -> AsyncGenerator[TextChunk, None]:
        answered_with(call, ServedBy("m", 1, "m@1"))
        async with aclosing(pieces()) as found:
            async for piece in found:
                yield piece

    async def go() -> None:
        call = text_call(Ask("chat.completions", "resp"), "m")
        call.form = _Calling(model._calling())
        begun = await begin(way_to(answer), call)
        events = ResponseEvents(begun, ResponseWriter({"id": "resp_1"}), keep)
        await EventStream(begun, events)({}, receive, send)

    asyncio.run(go())
    assert saved == []
    assert closed == [True]


def test_the_openapi_document_describes_the_routes(http: TestClient) -> None:
    found = http.get("/openapi.json").json()["paths"]
    posted = found["/v1/responses"]["post"]["responses"]["200"]["content"]
    assert set(posted) == {"application/json", "text/event-stream"}
    assert "404" in found["/v1/responses/{response_id}"]["get"]["responses"]


def test_fixed_names_answer_other_methods_as_such(http: TestClient) -> None:
    assert http.get("/v1/responses/input_tokens").status_code == 405
    assert http.delete("/v1/responses/input_tokens").status_code == 405
    assert http.get("/v1/responses/compact").status_code == 404


def test_a_stored_item_is_referred_to(client: OpenAI, model: Model, http: TestClient) -> None:
    made = client.responses.create(model="m", input="One")
    references: Any = [
        {"type": "item_reference", "id": client.responses.input_items.list(made.id).data[0].id},
        {"type": "item_reference", "id": made.output[0].id},
        {"role": "user", "content": "Two"},
    ]
    second = client.responses.create(model="m", input=references)
    assert [m["content"] for m in model.calls[-1].messages] == ["One", "Hello", "Two"]
    client.responses.delete(made.id)
    # It was copied into the response that referred to it.
    client.responses.create(model="m", input=references[1:])
    client.responses.delete(second.id)
    other = client.with_options(default_headers={"tenant": "b"})
    with pytest.raises(NotFoundError) as failed:
        other.responses.create(model="m", input=references)
    assert failed.value.param == "input[0].id"


def test_the_object_says_what_the_answer_was_drawn_with(client: OpenAI) -> None:
    asked: Any = {"presence_penalty": 0.5, "frequency_penalty": 0.25, "top_k": 3}
    found = client.responses.create(
        model="m", input="Hi", temperature=0.5, truncation="auto", extra_body=asked
    ).to_dict()
    assert (found["temperature"], found["top_p"]) == (0.5, 1.0)
    assert (found["presence_penalty"], found["frequency_penalty"]) == (0.5, 0.25)
    assert (found["truncation"], found["top_logprobs"]) == ("auto", 0)
    left_out = client.responses.create(model="m", input="Hi").to_dict()
    assert (left_out["temperature"], left_out["top_p"], left_out["tool_choice"]) == (1, 1, "auto")


def test_only_what_runs_can_be_cancelled(client: OpenAI) -> None:
    made = client.responses.create(model="m", input="Hi")
    with pytest.raises(BadRequestError, match="Cannot cancel a synchronous response"):
        client.responses.cancel(made.id)
    with pytest.raises(NotFoundError):
        client.responses.cancel("resp_0")
