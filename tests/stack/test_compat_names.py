"""NVIDIA's bare names, for clients that have them built in: `up --compat-names smollm2`.

The same stack has a LoRA adapter, for the adapter's own `model:name`.
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from enginehouse.bundle import Bundle
from tests.conftest import (
    RunningStack,
    call_cli,
    registered_home,
    running_stack,
    stack_env,
    wait_until,
)
from tests.engine.adapters import adapted_bundle
from tests.stack.test_triton_clients import ANSWER, PROMPT, stream, tensor

pytestmark = pytest.mark.slow(reason="a stack of its own, which loads each engine twice")


@pytest.fixture(scope="module")
def compat(
    whole_machine: None, tmp_path_factory: pytest.TempPathFactory, bundle: Bundle
) -> Iterator[RunningStack]:
    home = tmp_path_factory.mktemp("compat")
    adapted = adapted_bundle(bundle, home, ("loud",), bundle.manifest.engine_settings)
    registered_home(home, adapted)
    env = stack_env(home) | {"ENGINEHOUSE_COMPAT_NAMES": "smollm2"}
    with running_stack(env) as running:
        # The adapter is ready with the model's own name; the bare ones are loaded after it.
        ready = f"{running.settings.addresses.triton_http_url}/v2/models/ensemble/ready"
        wait_until(lambda: httpx.get(ready, timeout=10.0).is_success, "the bare names")
        yield running


def _texts(results: list[object]) -> str:
    found = [r.as_numpy("text_output") for r in results]  # type: ignore[attr-defined]
    return "".join(text.reshape(-1)[0].decode() for text in found if text is not None)


def test_the_ensemble_and_its_parts_answer_under_bare_names(compat: RunningStack) -> None:
    text = [
        tensor("text_input", [[PROMPT.encode()]], "BYTES"),
        tensor("max_tokens", [[30]], "INT32"),
        tensor("stream", [[True]], "BOOL"),
    ]
    assert _texts(stream(compat.grpc, "ensemble", text)) == ANSWER
    ids = [
        tensor("input_ids", [[1, 9690, 198]], "INT32"),
        tensor("input_lengths", [[3]], "INT32"),
        tensor("request_output_len", [[6]], "INT32"),
        tensor("streaming", [[True]], "BOOL"),
        tensor("end_id", [[-1]], "INT32"),
    ]
    arrived = [r.as_numpy("output_ids") for r in stream(compat.grpc, "tensorrt_llm", ids)]
    assert sum(part.size for part in arrived if part is not None) == 6


def test_http_generate_with_the_vendors_json(compat: RunningStack) -> None:
    url = f"{compat.settings.addresses.triton_http_url}/v2/models/ensemble"
    body = {"text_input": PROMPT, "max_tokens": 30, "bad_words": "", "stop_words": ""}
    whole = httpx.post(f"{url}/generate", json=body, timeout=60).json()["text_output"]
    assert whole.endswith(ANSWER)
    banned = httpx.post(f"{url}/generate", json=body | {"bad_words": "Paris"}, timeout=60).json()[
        "text_output"
    ]
    assert "Paris" not in banned
    streamed = httpx.post(f"{url}/generate_stream", json=body | {"stream": True}, timeout=60).text
    assert streamed.count("data: ") > 3


def test_the_adapter_does_not_take_bare_names_for_models(compat: RunningStack) -> None:
    listed = httpx.get(f"{compat.url}/v1/models", timeout=30).json()["data"]
    assert [model["id"] for model in listed] == ["smollm2", "smollm2:loud"]


def test_an_adapter_is_asked_for_by_name(compat: RunningStack) -> None:
    body = {
        "messages": [{"role": "user", "content": "Tell me about the sea."}],
        "temperature": 0,
        "max_tokens": 16,
    }

    def ask(model: str) -> str:
        url = f"{compat.url}/v1/chat/completions"
        answer = httpx.post(url, json=body | {"model": model}, timeout=60).json()
        return str(answer["choices"][0]["message"]["content"])

    plain, loud, again = ask("smollm2"), ask("smollm2:loud"), ask("smollm2")
    assert plain == again != loud
    assert loud
    known = httpx.get(f"{compat.url}/v1/models/smollm2:loud", timeout=30).json()
    assert known["id"] == "smollm2:loud"


def test_bare_names_follow_the_champion(compat: RunningStack, bundle: Bundle) -> None:
    for command in (("register", bundle.path, "--name", "smollm2"), ("promote", "smollm2", 2)):
        done = call_cli(compat.env, *command)
        assert done.returncode == 0, done.stderr
    url = f"{compat.settings.addresses.triton_http_url}/v2/models"

    def pinned(name: str) -> int:
        config = httpx.get(f"{url}/{name}/config", timeout=30).json()
        if "ensemble_scheduling" in config:
            return int(config["ensemble_scheduling"]["step"][0]["model_version"])
        (version,) = config["version_policy"]["specific"]["versions"]
        return int(version)

    names = ("ensemble", "preprocessing", "tensorrt_llm", "postprocessing")
    wait_until(lambda: {pinned(name) for name in names} == {2}, "the bare names on version 2")
    body = {"text_input": PROMPT, "max_tokens": 30}
    answer = httpx.post(f"{url}/ensemble/generate", json=body, timeout=60)
    assert answer.json()["text_output"].endswith(ANSWER)
