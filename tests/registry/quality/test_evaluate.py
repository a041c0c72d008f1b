from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from enginehouse.registry import Registry
from enginehouse.registry.quality.evaluate import EvaluationRow, Options, evaluate, load_rows

from enginehouse.errors import ServingError, SpecError
from enginehouse.settings import Settings, load_settings
from tests.registry.quality.stand_in import StandIn


@pytest.fixture
def settings(quality_home: Path, endpoint: StandIn) -> Settings:
    environ = {
        "ENGINEHOUSE_HOME": str(quality_home),
        "ENGINEHOUSE_API_PORT": str(endpoint.server_port),
    }
    return load_settings(environ, cwd=quality_home)


def rows(count: int = 10) -> list[EvaluationRow]:
    return [
        EvaluationRow(
            inputs={"question": f"q{i}"}, expectations={"expected_response": f"Answer {i}."}
        )
        for i in range(count)
    ]


def answers(version: str, question: str) -> str:
    """Version 8 knows everything, version 7 the even ones; neither answers number 3."""
    number = int(question[1:])
    if number == 3:
        raise LookupError
    return f"answer {number}" if version == "8" or number % 2 == 0 else "I'm sorry, I can't."


def test_two_versions_are_compared_row_by_row_without_leaving_the_machine(
    settings: Settings, endpoint: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached: list[Any] = []
    connect = socket.socket.connect

    def watched(self: socket.socket, address: Any) -> None:
        reached.append(address)
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", watched)
    endpoint.rule = answers
    found = evaluate(settings, "smollm2", (7, 8), rows(), options=Options(workers=3))

    exact = next(one for one in found.comparisons if one.scorer == "exact")
    assert (exact.pairs, exact.gained, exact.lost) == (9, 4, 0)
    assert exact.second == 1.0
    refused = next(one for one in found.comparisons if one.scorer == "no_refusal")
    assert refused.first == pytest.approx(5 / 9)
    assert (found.first.failed, found.second.failed) == (1, 1)
    assert {address[0] for address in reached} == {"127.0.0.1"}
    assert {body["model"] for body in endpoint.asked} == {"smollm2@7", "smollm2@8"}
    assert {body["temperature"] for body in endpoint.asked} == {0.0}

    with Registry(settings).session() as client:
        experiment = client.get_experiment_by_name("enginehouse/smollm2/evaluations")
        runs = client.search_runs([experiment.experiment_id])
    assert {run.info.run_name for run in runs} == {"smollm2@7", "smollm2@8"}
    assert {run.data.metrics["exact/mean"] for run in runs} == {1.0, 5 / 9}


def test_a_users_scorer_is_one_more_row(
    settings: Settings, endpoint: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scorers_of_a_user.py").write_text(
        "def ends_with_seven(outputs):\n    return outputs.endswith('7')\n"
    )
    monkeypatch.chdir(tmp_path)
    endpoint.rule = lambda version, _: version
    found = evaluate(
        settings, "other", (7, 8), rows(4), scorers=["scorers_of_a_user:ends_with_seven"]
    )
    mine = next(one for one in found.comparisons if one.scorer == "ends_with_seven")
    assert (mine.first, mine.second, mine.lost) == (1.0, 0.0, 4)


def test_a_version_that_is_not_loaded_is_one_sentence(
    settings: Settings, endpoint: StandIn
) -> None:
    with pytest.raises(ServingError, match="no version '9' loaded"):
        evaluate(settings, "smollm2", (9, 8), rows(2))
    assert len(endpoint.asked) == 1


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("", "no lines"),
        ("{", "line 1: the line: Invalid JSON"),
        ('{"inputs": {"question": "a"}}\n{"input": {}}', "line 2: inputs: Field required"),
        ('{"inputs": {"text": "a"}}', "line 1: inputs: give"),
        ('{"inputs": {"messages": []}}', "line 1: inputs: give"),
    ],
)
def test_wrong_lines_are_named(tmp_path: Path, lines: str, said: str) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(lines)
    with pytest.raises(SpecError, match=said):
        load_rows(path)


def test_messages_and_questions_are_conversations(tmp_path: Path) -> None:
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    path = tmp_path / "data.jsonl"
    lines = [{"inputs": {"messages": messages}}, {"inputs": {"question": "Hi"}}]
    path.write_text("\n\n".join(json.dumps(line) for line in lines))

    found = load_rows(path)

    assert found[0].messages == messages
    assert found[1].messages == messages[1:]
