"""The requests that Open WebUI sends to an OpenAI-compatible connection, written from its source.

open-webui 0.12.4: `routers/openai.py` (what is taken out of a chat before it goes upstream, the
Responses form), `routers/tasks.py` (titles, tags, follow-ups, queries, autocompletion),
`utils/payload.py` (a model's parameters), `utils/middleware.py` (how an answer is read, and tool
calls sent back), `retrieval/utils.py` (embeddings). `features`, `files`, `metadata`, `variables`
and `params` are taken out by Open WebUI itself and reach no upstream.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import probe
from probe import check, same, scenario

_HEADERS = {
    "Content-Type": "application/json",
    "Authorization": f"Bearer {probe.KEY}",
    "X-OpenWebUI-User-Name": "Ada%20L",
    "X-OpenWebUI-User-Id": "3f0f",
    "X-OpenWebUI-User-Email": "ada@example.org",
    "X-OpenWebUI-User-Role": "user",
    "X-OpenWebUI-Chat-Id": "8d2c",
    "X-OpenWebUI-Message-Id": "71aa",
}
_HISTORY: list[dict[str, Any]] = [
    {"role": "user", "content": probe.QUESTION},
    {"role": "assistant", "content": "Paris."},
]


def _post(path: str, body: dict[str, Any]) -> Any:
    data = json.dumps(body).encode()
    request = urllib.request.Request(f"{probe.BASE_URL}{path}", data, _HEADERS)
    try:
        return urllib.request.urlopen(request, timeout=180)
    except urllib.error.HTTPError as error:
        raise probe.DifferentError(f"{error.code}: {error.read().decode()}") from error


def _whole(path: str, body: dict[str, Any]) -> Any:
    with _post(path, body) as answer:
        return json.loads(answer.read())


def _events(path: str, body: dict[str, Any]) -> Iterator[Any]:
    """The events as its middleware reads them: lines that begin with `data:`."""
    with _post(path, body) as answer:
        check("text/event-stream" in answer.headers["Content-Type"], "not an event stream")
        for raw in answer:
            line = raw.decode().strip()
            if line.startswith("data:") and line != "data: [DONE]":
                yield json.loads(line[len("data:") :])


def _chat(**changed: Any) -> dict[str, Any]:
    given = {"stream": True, "model": probe.MODEL, "messages": _HISTORY[:1], "max_tokens": 24}
    return given | {"stream_options": {"include_usage": True}} | changed


def _task(instruction: str, **changed: Any) -> None:
    history = "\n".join(f"{item['role'].upper()}: {item['content']}" for item in _HISTORY)
    content = (
        f"### Task:\n{instruction}\n### Output:\nJSON format\n"
        f"### Chat History:\n<chat_history>\n{history}\n</chat_history>"
    )
    messages = [{"role": "user", "content": content}]
    body = {"model": probe.MODEL, "messages": messages, "stream": False, **changed}
    check(_whole("/chat/completions", body)["choices"][0]["message"]["content"], "no text")


@scenario("the connection's list of models", column="chat")
def models() -> None:
    request = urllib.request.Request(f"{probe.BASE_URL}/models", headers=_HEADERS)
    with urllib.request.urlopen(request, timeout=30) as answer:
        listed = json.loads(answer.read())["data"]
    check(probe.MODEL in [item["id"] for item in listed], f"models: {listed}")


@scenario("a chat, streamed with usage", column="streaming")
def stream() -> None:
    events = list(_events("/chat/completions", _chat()))
    text = "".join(e["choices"][0]["delta"].get("content") or "" for e in events if e["choices"])
    check(text, "no text")
    check(any(e.get("usage") for e in events), "no usage")


@scenario("a chat that is not streamed", column="chat")
def whole() -> None:
    body = _chat(stream=False)
    del body["stream_options"]
    found = _whole("/chat/completions", body)
    check(found["choices"][0]["message"]["content"], "no text")
    check(found["usage"]["total_tokens"], "no usage")


@scenario("a chat with history, a system prompt and an image-free list of parts", column="turns")
def parts() -> None:
    messages = [
        {"role": "system", "content": "You are helpful."},
        *_HISTORY,
        {"role": "user", "content": [{"type": "text", "text": probe.AGAIN}]},
    ]
    check(list(_events("/chat/completions", _chat(messages=messages))), "no events")


@scenario("reasoning of earlier answers, sent back as `reasoning_content`", column="turns")
def reasoning() -> None:
    thought = _HISTORY[1] | {"reasoning_content": "France has Paris."}
    messages = [_HISTORY[0], thought, {"role": "user", "content": probe.AGAIN}]
    check(list(_events("/chat/completions", _chat(messages=messages))), "no events")


@scenario("Continue: the chat ends with the assistant's own words", column="turns")
def continued() -> None:
    check(list(_events("/chat/completions", _chat(messages=_HISTORY))), "no events")
    flags = {"continue_final_message": True, "add_generation_prompt": False}
    check(list(_events("/chat/completions", _chat(messages=_HISTORY, **flags))), "no events")


@scenario("parameters of a model: temperature, top_k, min_p, penalties, seed, stop")
def parameters() -> None:
    given = {
        "temperature": 0.7,
        "top_k": 40,
        "top_p": 0.9,
        "min_p": 0.05,
        "frequency_penalty": 0.1,
        "presence_penalty": 0.1,
        "seed": 7,
        "stop": ["\n\n"],
        "response_format": {"type": "text"},
    }
    check(list(_events("/chat/completions", _chat(**given))), "no events")


@scenario(
    "a model's `logit_bias`",
    limit="the CPU's runtime (OpenVINO GenAI) has no biases, and refuses them by name",
)
def logit_bias() -> None:
    check(list(_events("/chat/completions", _chat(logit_bias={"100": -5}))), "no events")


@scenario(
    "Ollama's parameters on an OpenAI connection: num_ctx, mirostat, repeat_last_n, …",
    limit="fields that are unknown are refused by name; leave them at their defaults",
)
def ollamas() -> None:
    check(list(_events("/chat/completions", _chat(num_ctx=2048, mirostat=0))), "no events")


@scenario("native tools: a streamed call, and its result sent back", column="tools")
def tools() -> None:
    call: dict[str, Any] = {}
    given = {"tools": [probe.WEATHER], "tool_choice": "required", "max_tokens": 64}
    for event in _events("/chat/completions", _chat(**given)):
        for delta in (
            event["choices"][0]["delta"].get("tool_calls") or [] if event["choices"] else []
        ):
            if delta["index"] == 0 and call:
                call["function"]["arguments"] += delta["function"]["arguments"]
            elif delta["index"] == 0:
                call = delta
    probe.is_city(json.loads(call["function"]["arguments"]))
    messages = [
        _HISTORY[0],
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "21 degrees"},
    ]
    again = _chat(messages=messages, tools=[probe.WEATHER])
    check(list(_events("/chat/completions", again)), "no events")


@scenario("title generation", column="chat")
def title() -> None:
    # Toward others than OpenAI it renames `max_completion_tokens`.
    _task("Generate a concise title summarizing the chat history.", max_tokens=1000)


@scenario("tags generation", column="chat")
def tags() -> None:
    _task("Generate 1-3 broad tags categorizing the main themes of the chat history.")


@scenario("follow-up questions", column="chat")
def follow_ups() -> None:
    _task("Suggest 3-5 relevant follow-up questions or prompts.")


@scenario("search and retrieval queries", column="chat")
def queries() -> None:
    _task("Analyze the chat history to determine the necessity of generating search queries.")


@scenario("a connection of type Responses: text, streamed", column="streaming")
def responses() -> None:
    body = {
        "stream": True,
        "model": probe.MODEL,
        "instructions": "You are helpful.",
        "max_output_tokens": 24,
        "input": [
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": probe.QUESTION}],
            },
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "Paris."}],
            },
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": probe.AGAIN}],
            },
        ],
    }
    kinds = [event["type"] for event in _events("/responses", body)]
    same(kinds[-1], "response.completed", "last event") if "response.completed" in kinds else same(
        kinds[-1], "response.incomplete", "last event"
    )


@scenario("a connection of type Responses: a call and its output as items", column="tools")
def responses_tools() -> None:
    function = probe.WEATHER["function"]
    body = {
        "stream": True,
        "model": probe.MODEL,
        "max_output_tokens": 24,
        "tools": [{"type": "function", "strict": False, **function}],
        "input": [
            {
                "type": "message",
                "role": "user",
                "content": [{"type": "input_text", "text": "Weather in Lisbon?"}],
            },
            {
                "type": "function_call",
                "call_id": "call_1",
                "name": "get_weather",
                "arguments": '{"city": "Lisbon"}',
            },
            {"type": "function_call_output", "call_id": "call_1", "output": "21 degrees"},
        ],
    }
    check(list(_events("/responses", body)), "no events")


@scenario("embeddings for retrieval", column="embeddings")
def embeddings() -> None:
    found = _whole("/embeddings", {"input": ["a house", "a whale"], "model": probe.EMBEDDING})
    same([len(item["embedding"]) for item in found["data"]], [probe.DIMENSIONS] * 2, "dimensions")


@scenario("an error has a `message` to show", column="errors")
def errors() -> None:
    data = json.dumps(_chat(model="nobody")).encode()
    request = urllib.request.Request(f"{probe.BASE_URL}/chat/completions", data, _HEADERS)
    try:
        urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as error:
        same(error.code, 404, "status")
        check("nobody" in json.loads(error.read())["error"]["message"], "not the model's name")
        return
    raise probe.DifferentError("no error")


probe.run()
