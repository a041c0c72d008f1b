from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from enginehouse.perf.peers.report import markdown, write_report


def _side(kind: str, rates: list[float], ttft_ms: float) -> dict[str, Any]:
    figures = {
        "tokens_per_s": sorted(rates)[len(rates) // 2],
        "tokens_per_s_runs": rates,
        "ttft_ms": {"p50": ttft_ms, "p95": 2 * ttft_ms},
        "inter_token_ms": {"p50": 24.6, "p95": 30.0},
    }
    return {
        "name": kind,
        "title": f"the {kind}",
        "kind": kind,
        "version": "1.2.3",
        "start_s": 12.3,
        "rss_bytes": 3 * 2**20,
        "streams": {"1": figures, "16": figures},
    }


def _data(**changes: Any) -> dict[str, Any]:
    return {
        "sides": [
            _side("limit", [700, 700, 700], 150),
            _side("ours", [600, 600, 300], 200),
            _side("peer", [300, 400, 150], 500),
            _side("baseline", [590, 590, 590], 190),
        ],
        "left_out": {"vllm": "not installed: no wheel for this host"},
        "host": {"cpu_model": "A CPU", "cpu_count": 2, "cpu_features": ["avx2"]},
        "model": "a model",
        "new_tokens": 128,
        "rounds": 3,
        "measured_at": "2026-11-21T00:00:00+00:00",
        "command": "make bench-peers",
        **changes,
    }


def test_every_side_has_a_row_with_its_ratio_to_ours() -> None:
    rows = [line for line in markdown(_data()).splitlines() if line.startswith("| the")]
    assert rows[1] == ("| the ours | 1.2.3 | 600 | 600 | 200 | 200 | 24.6 | 1.00 | 1.00 | 3 | 12 |")
    assert "| 0.50 | 2.50 |" in rows[2]


def test_ratios_are_medians_of_rounds_and_targets_look_at_the_best_peer_server() -> None:
    text = markdown(_data())
    assert "best peer server is the peer" in text
    assert "2.00 times its tokens/s (target met: at least 1.5)" in text
    assert "0.40 of that peer's (target met: at most 0.5)" in text


def test_a_missed_target_is_called_missed() -> None:
    sides = [_side("ours", [300], 400), _side("peer", [300], 400)]
    assert markdown(_data(sides=sides)).count("target missed") == 2


def test_what_was_left_out_is_named_with_its_reason() -> None:
    assert "Left out: vllm, not installed: no wheel for this host." in markdown(_data())


def test_without_the_targets_streams_there_is_a_table_but_no_judgement() -> None:
    data = _data()
    for side in data["sides"]:
        del side["streams"]["16"]
    text = markdown(data)
    assert "tokens/s at 1 " in text
    assert "target" not in text


def test_the_report_is_written_as_data_and_as_a_table(tmp_path: Path) -> None:
    path = write_report(_data(), tmp_path / "reports")
    assert json.loads((tmp_path / "reports" / "peers.json").read_text()) == _data()
    assert "repeat it with `make bench-peers`" in path.read_text()
