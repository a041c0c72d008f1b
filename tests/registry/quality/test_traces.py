from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from enginehouse.registry.quality.drift import DriftThresholds, DriftVerdict
from enginehouse.registry.quality.traces import TraceLog, TraceRecord, TraceWriter
from enginehouse.registry.quality.tracking import open_mlflow
from enginehouse.registry.quality.windows import TimeWindow, check_drift

from enginehouse.settings import Settings, load_settings
from tests.registry.quality.stand_in import StandIn

NOW = 1_700_000_000.0
LIMITS = DriftThresholds(least=20)


def record(
    at: float = NOW, text: str = "mail me at a@b.org", tokens: int = 5, model: str = "smollm2"
) -> TraceRecord:
    return TraceRecord(
        at=at,
        request_id=f"chatcmpl-{at}",
        model=model,
        version=7,
        messages=({"role": "user", "content": text},),
        answer="call +49 170 1234567",
        finish="stop",
        prompt_tokens=tokens,
        completion_tokens=3,
        total_s=0.25,
    )


@pytest.fixture
def settings(quality_home: Path, endpoint: StandIn) -> Settings:
    environ = {
        "ENGINEHOUSE_HOME": str(quality_home),
        "ENGINEHOUSE_TRACE_SHARE": "1",
        "ENGINEHOUSE_API_PORT": str(endpoint.server_port),
    }
    return load_settings(environ, cwd=quality_home)


@pytest.fixture
def writer(settings: Settings) -> Iterator[TraceWriter]:
    found = TraceWriter(settings)
    yield found
    found.close()


def test_a_record_comes_back_redacted(settings: Settings, writer: TraceWriter) -> None:
    writer.start()
    assert writer.wanted()
    writer.offer(record())
    writer.close()

    (kept,) = TraceLog(settings).read("smollm2", since=NOW - 1, until=NOW + 1)
    assert kept.prompt == "mail me at [e-mail]"
    assert kept.answer == "call [phone]"
    assert (kept.version, kept.prompt_tokens, kept.total_s) == (7, 5, 0.25)
    assert kept.request_id == record().request_id
    assert writer.failed == 0


def test_setting_mlflow_up_leaves_the_environment_alone(settings: Settings) -> None:
    before = os.environ.get("MLFLOW_TRACKING_URI")
    assert open_mlflow(settings).get_tracking_uri() == settings.registry_uri
    assert os.environ.get("MLFLOW_TRACKING_URI") == before


def test_windows_are_half_open_and_models_apart(settings: Settings) -> None:
    log = TraceLog(settings)
    for second in (0, 10, 20):
        log.write(record(NOW + second, model="windows"))

    found = log.read("windows", since=NOW, until=NOW + 20)
    assert [one.at - NOW for one in found] == [10, 0]
    assert list(log.read("other", since=0, until=NOW * 2)) == []


def test_nothing_is_kept_unless_it_is_asked_for(tmp_path: Path) -> None:
    writer = TraceWriter(load_settings({"ENGINEHOUSE_HOME": str(tmp_path)}, cwd=tmp_path))
    threads = threading.active_count()
    writer.start()
    assert threading.active_count() == threads
    assert not writer.wanted()


def test_the_share_is_by_chance(settings: Settings) -> None:
    places = iter([0.99, 1.0])
    writer = TraceWriter(settings, chance=lambda: next(places))
    writer.start()
    assert [writer.wanted(), writer.wanted()] == [True, False]
    writer.close()


def test_what_comes_too_fast_is_dropped_and_counted_and_never_waits(settings: Settings) -> None:
    drops: list[None] = []
    writer = TraceWriter(settings, on_drop=lambda: drops.append(None))
    # No thread takes anything out, so the queue fills.
    for _ in range(300):
        writer.offer(record())
    assert writer.dropped == len(drops) == 300 - 256


def test_a_registry_that_fails_costs_records_and_no_request(tmp_path: Path) -> None:
    (tmp_path / "registry").write_text("a file where the directory should be")
    environ = {"ENGINEHOUSE_HOME": str(tmp_path), "ENGINEHOUSE_TRACE_SHARE": "1"}
    writer = TraceWriter(load_settings(environ, cwd=tmp_path))
    writer.start()
    writer.offer(record())
    writer.close()
    assert writer.failed == 1


def fill(
    settings: Settings, words: tuple[str, str], tokens: tuple[int, int]
) -> tuple[TimeWindow, ...]:
    log = TraceLog(settings)
    for side in (0, 1):
        for number in range(20):
            text = words[side] + "x" * number
            log.write(record(NOW + 100 * side + number, text, tokens[side], "drifting"))
    return TimeWindow(NOW, NOW + 100), TimeWindow(NOW + 100, NOW + 200)


def test_drift_is_seen_in_the_traces(settings: Settings, endpoint: StandIn) -> None:
    endpoint.embedder = "minilm"
    windows = fill(settings, ("apples ", "zebras "), (10, 90))

    found, notes = check_drift(settings, "drifting", *windows, limits=LIMITS)

    assert [one.what for one in found] == ["length", "embedding"]
    assert {one.verdict for one in found} == {DriftVerdict.DRIFT}
    assert notes == ["embeddings by minilm"]

    endpoint.refuse_above = 20
    found, notes = check_drift(settings, "drifting", *windows, limits=LIMITS)
    assert len(found) == 1
    assert "too long" in notes[0]

    endpoint.embedder = None
    found, notes = check_drift(settings, "drifting", *windows, limits=LIMITS)
    assert len(found) == 1
    assert "no embedding model" in notes[0]


def test_few_traces_are_too_few_and_say_what_to_do(settings: Settings) -> None:
    windows = TimeWindow(0, NOW), TimeWindow(NOW, NOW + 1)
    found, notes = check_drift(settings, "silent", *windows, limits=LIMITS)
    assert found[0].verdict is DriftVerdict.TOO_FEW
    assert "ENGINEHOUSE_TRACE_SHARE" in notes[0]
