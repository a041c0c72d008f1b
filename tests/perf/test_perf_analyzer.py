from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from enginehouse.perf.loads import OfferedLoad
from enginehouse.perf.perf_analyzer import install as installing
from enginehouse.perf.perf_analyzer.export import records_of
from enginehouse.perf.perf_analyzer.inputs import (
    entry_point_arguments,
    load_arguments,
    write_inputs,
)
from enginehouse.perf.perf_analyzer.install import find, install, required
from enginehouse.perf.prompts import LoadPrompt

from enginehouse.errors import ServingError, SettingsError, StackError
from enginehouse.settings import Addresses

_PROMPT = LoadPrompt("chat", "Hello", "<user>Hello<assistant>", (1, 2, 3), 5)
_AT = Addresses()


def test_each_entry_point_is_asked_in_its_own_way(tmp_path: Path) -> None:
    adapter = entry_point_arguments("adapter", "m", 3, _AT)
    assert adapter[:4] == ["-m", "m", "--service-kind", "openai"]
    assert "--streaming" not in adapter
    engine = entry_point_arguments("tensorrt_llm", "m", 3, _AT)
    assert engine[:4] == ["-m", "m.tensorrt_llm", "-x", "3"]
    assert {"--streaming", "grpc"} <= set(engine)
    assert "-x" not in entry_point_arguments("ensemble", "m", 3, _AT)

    write_inputs(tmp_path, "tensorrt_llm", "m", [_PROMPT])
    entry = json.loads((tmp_path / "inputs.json").read_text())["data"][0]
    assert entry["input_ids"] == {"content": [1, 2, 3], "shape": [3]}
    assert entry["request_output_len"] == [5]
    assert entry["end_id"] == [-1]
    write_inputs(tmp_path, "ensemble", "m", [_PROMPT])
    entry = json.loads((tmp_path / "inputs.json").read_text())["data"][0]
    assert entry["text_input"] == ["<user>Hello<assistant>"]
    write_inputs(tmp_path, "adapter", "m", [_PROMPT])
    payload = json.loads((tmp_path / "inputs.json").read_text())["data"][0]["payload"][0]
    assert payload["messages"] == [{"role": "user", "content": "Hello"}]
    assert payload["max_tokens"] == 5
    assert payload["ignore_eos"] is True


def test_open_loops_keep_the_profiles_own_times(tmp_path: Path) -> None:
    closed = load_arguments(tmp_path, OfferedLoad([_PROMPT] * 6, 6, 3.0))
    assert closed == ["--concurrency-range", "3", "--request-count", "6"]
    due = [0.0, 0.0, 0.25, 1.5]
    opened = load_arguments(tmp_path, OfferedLoad([_PROMPT] * 4, due, 2.0))
    assert opened[0] == "--request-intervals"
    assert Path(opened[1]).read_text().split() == ["1", "1", "250000", "1250000"]


def _event(text: str) -> dict[str, str]:
    return {"response": f"data: {text}\n\n"}


def test_an_export_is_read_in_the_order_of_sending() -> None:
    tensors = {"input_lengths": 3, "request_output_len": 3}
    export = {
        "experiments": [
            {
                "requests": [
                    {
                        "timestamp": 2_000_000_000,
                        "request_inputs": tensors,
                        "response_timestamps": [2_100_000_000, 2_300_000_000, 2_310_000_000],
                        "response_outputs": [
                            {"output_ids": 7},
                            {"output_ids": [8, 9]},
                            {"output_ids": ""},
                        ],
                    },
                    {
                        "timestamp": 1_000_000_000,
                        "request_inputs": tensors,
                        "response_timestamps": [1_050_000_000],
                        "response_outputs": [{"output_ids": ""}],
                    },
                ]
            }
        ]
    }
    empty, whole = records_of(export, "tensorrt_llm")
    assert empty.error == "an answer without a token"
    assert whole.sent_s == pytest.approx(1.0)
    assert whole.trace is not None
    assert whole.trace.arrivals_s == pytest.approx([0.1, 0.3])
    assert (whole.trace.tokens, whole.prompt_tokens) == (3, 3)


def test_server_sent_events_are_counted_whatever_they_are_packed_in() -> None:
    content = '{"choices":[{"delta":{"content":"a"}}]}'
    role = '{"choices":[{"delta":{"role":"assistant","content":""}}]}'
    usage = '{"choices":[],"usage":{"prompt_tokens":4,"completion_tokens":3,"total_tokens":7}}'
    both = {"response": f"data: {content}\n\ndata: {content}\n\n"}
    request = {
        "timestamp": 0,
        "request_inputs": {"payload": "{}"},
        "response_timestamps": [10**7, 2 * 10**7, 3 * 10**7, 4 * 10**7],
        "response_outputs": [_event(role), both, _event(usage), _event("[DONE]")],
    }
    (record,) = records_of({"experiments": [{"requests": [request]}]}, "adapter")
    assert record.trace is not None
    assert record.trace.arrivals_s == pytest.approx([0.02, 0.02])
    assert (record.trace.tokens, record.prompt_tokens) == (3, 4)


@pytest.mark.parametrize("export", [{}, {"experiments": [{"requests": []}]}])
def test_an_empty_export_is_an_error(export: dict[str, object]) -> None:
    with pytest.raises(ServingError, match="no"):
        records_of(export, "adapter")


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine without perf_analyzer, with an old glibc."""
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(installing.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(installing.platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr(installing, "_unpack_wheel", lambda target: target.mkdir(exist_ok=True))
    monkeypatch.setattr(installing.shutil, "which", lambda name: None if "perf" in name else name)
    return monkeypatch


@pytest.mark.usefixtures("bare")
def test_what_is_missing_is_said_with_the_way_out(tmp_path: Path) -> None:
    assert find(tmp_path) is None
    with pytest.raises(StackError, match="enginehouse perf install"):
        required(tmp_path)


def test_another_machine_is_told_what_to_do(tmp_path: Path, bare: pytest.MonkeyPatch) -> None:
    bare.setattr(installing.platform, "machine", lambda: "aarch64")
    with pytest.raises(StackError, match="no binary for aarch64"):
        install(tmp_path, {}, print)
    bare.setattr(installing.platform, "machine", lambda: "x86_64")
    bare.setattr(installing.platform, "libc_ver", lambda: ("", ""))
    with pytest.raises(StackError, match="needs glibc"):
        install(tmp_path, {}, print)


def test_a_file_that_is_not_the_pinned_one_is_refused(
    tmp_path: Path, bare: pytest.MonkeyPatch
) -> None:
    answer = httpx.Response(200, content=b"other", request=httpx.Request("GET", "http://m/x"))
    bare.setattr(installing.httpx, "get", lambda *_, **__: answer)
    mirror = {installing.MIRROR_VARIABLE: "http://mirror.example/debian"}
    with pytest.raises(StackError, match="sha256 differs"):
        install(tmp_path, mirror, print)
    assert list(tmp_path.iterdir()) == []


def test_a_mirror_without_the_package_names_the_variable(
    tmp_path: Path, bare: pytest.MonkeyPatch
) -> None:
    gone = httpx.Response(404, request=httpx.Request("GET", "http://m/x"))
    bare.setattr(installing.httpx, "get", lambda *_, **__: gone)
    with pytest.raises(StackError, match="ENGINEHOUSE_DEBIAN_MIRROR"):
        install(tmp_path, {installing.MIRROR_VARIABLE: "http://mirror.example/debian"}, print)


@pytest.mark.parametrize(
    ("text", "mirror"),
    [
        ("deb http://a.example/debian bookworm main", "http://a.example/debian"),
        ("deb [signed-by=/k] http://a.example/debian/ bookworm main", "http://a.example/debian"),
        ("Types: deb\nURIs: https://b.example/debian\nSuites: x", "https://b.example/debian"),
    ],
)
def test_the_mirror_is_the_one_that_apt_uses(
    text: str, mirror: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APT_CONFIG_DIR", str(tmp_path))
    (tmp_path / "sources.list").write_text(f"# deb http://old.example/debian x\n{text}\n")
    assert installing._mirror({}) == mirror


def test_without_a_mirror_the_variable_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APT_CONFIG_DIR", str(tmp_path))
    with pytest.raises(SettingsError, match="ENGINEHOUSE_DEBIAN_MIRROR"):
        installing._mirror({})
