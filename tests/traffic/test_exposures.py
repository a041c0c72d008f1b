from __future__ import annotations

from pathlib import Path

from enginehouse.traffic.exposures import EXPOSURES, Exposure, hashed_unit, read_journal


def exposure(request_id: str) -> Exposure:
    return Exposure(
        at=1.0,
        experiment="e",
        arm="a",
        unit="u",
        request_id=request_id,
        model="m",
        version=1,
    )


def test_a_hashed_unit_names_nobody_and_differs_between_experiments() -> None:
    assert hashed_unit("one", "ann@example.org") == hashed_unit("one", "ann@example.org")
    assert hashed_unit("one", "ann@example.org") != hashed_unit("two", "ann@example.org")
    assert hashed_unit("one", "ann@example.org") != hashed_unit("one", "bob@example.org")
    assert len(hashed_unit("one", "x")) == 16


def test_journals_of_several_adapters_are_one(tmp_path: Path) -> None:
    for name, ids in (("exposures.jsonl", "ab"), ("exposures-2.jsonl", "c"), ("other.jsonl", "d")):
        lines = [exposure(i).model_dump_json() for i in ids]
        (tmp_path / name).write_text("\n".join(lines) + '\n{"at": 1.0, "exp')

    found = read_journal(tmp_path, EXPOSURES, Exposure)
    assert {one.request_id for one in found} == {"a", "b", "c"}


def test_no_journal_is_no_exposure(tmp_path: Path) -> None:
    assert list(read_journal(tmp_path / "gone", EXPOSURES, Exposure)) == []
