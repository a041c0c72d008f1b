from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from enginehouse.registry import Registry
from enginehouse.registry.diff import BundleDiff, DiffRow, Facts, compare
from enginehouse.registry.facts import compare_versions
from typer.testing import Result

from enginehouse.errors import BundleError
from enginehouse.manifest import EngineSettings, Quality
from tests.fake_bundle import fake_bundle

OTHER_TOKENIZER = {
    "version": "1.0",
    "added_tokens": [{"id": 3, "content": "<|end|>"}],
    "model": {"type": "BPE", "vocab": {"a": 1, "b": 0, "c": 2}, "merges": []},
}


def row_of(found: BundleDiff, field: str) -> DiffRow:
    return next(row for row in found.rows if row.field == field)


@pytest.fixture
def compared(own: Registry, tmp_path: Path) -> BundleDiff:
    left = own.register(fake_bundle(tmp_path / "a"), "smollm2", "1.0.0")
    right = own.register(
        fake_bundle(
            tmp_path / "b",
            weights=b"less",
            template="{{ messages }}\nbot:",
            tokenizer=OTHER_TOKENIZER,
            speed={"ttft_ms": 10.0, "tokens_per_second_1": 30.0},
            quality=Quality(status="passed", perplexity_ratio=1.05, tasks_solved=9, tasks_total=10),
            engine_settings=EngineSettings(max_batch=8),
        ),
        "smollm2",
    )
    return compare_versions(own, left, right)


def test_each_number_says_whether_it_is_better(compared: BundleDiff) -> None:
    assert compared.left == "smollm2 1 (1.0.0)"
    assert row_of(compared, "ttft_ms") == DiffRow("speed", "ttft_ms", 20.0, 10.0, "better", -50.0)
    assert row_of(compared, "tokens_per_second_1").verdict == "worse"
    assert row_of(compared, "perplexity_ratio").verdict == "worse"
    assert row_of(compared, "tasks_solved").verdict == "equal"
    assert row_of(compared, "engine_bytes") == DiffRow(
        "size", "engine_bytes", 7, 4, "better", pytest.approx(-300 / 7)
    )


def test_of_the_manifest_and_the_files_only_what_differs_is_shown(compared: BundleDiff) -> None:
    fields = {row.field for row in compared.rows if row.section == "manifest"}
    assert fields == {"engine_settings.max_batch"}
    files = {row.field for row in compared.rows if row.section == "files"}
    assert "engine/model.bin" in files
    assert "README.md" not in files


def test_template_and_tokenizer_are_shown_as_text(compared: BundleDiff) -> None:
    assert "-assistant:" in compared.chat_template
    assert "+bot:" in compared.chat_template
    text = "\n".join(compared.tokenizer)
    assert "- token only left: 'ab'" in text
    assert "+ token only right: 'c'" in text
    assert "! token with another id: 'a'" in text
    assert "! merges: 1 left, 0 right" in text
    assert "<|end|>" in text


def test_a_long_list_of_tokens_is_cut(tmp_path: Path) -> None:
    bundle = fake_bundle(tmp_path / "a")
    many = {"model": {"vocab": {f"t{number}": number for number in range(50)}}}
    left = Facts("a", bundle.manifest, tokenizer={"model": {"vocab": {}}})
    found = compare(left, Facts("b", bundle.manifest, tokenizer=many))
    assert len(found.tokenizer) == 11
    assert found.tokenizer[-1].endswith("40 more")


def test_a_version_equals_itself_and_no_engine_is_read(own: Registry, tmp_path: Path) -> None:
    record = own.register(fake_bundle(tmp_path / "a"), "smollm2")
    stored = Path(record.bundle.removeprefix("file://"))
    (stored / "engine" / "model.bin").unlink()
    found = compare_versions(own, record, record)
    assert {row.verdict for row in found.rows} == {"equal"}
    assert found.chat_template == found.tokenizer == ()


def test_a_manifest_of_another_schema_names_the_version(own: Registry, tmp_path: Path) -> None:
    record = own.register(fake_bundle(tmp_path / "a"), "smollm2")
    (Path(record.bundle.removeprefix("file://")) / "engine.json").write_text("{}")
    with pytest.raises(BundleError, match="smollm2 version 1"):
        compare_versions(own, record, record)


def test_the_command_line_lists_labels_and_compares(
    cli: Callable[..., Result], tmp_path: Path
) -> None:
    for name, template in (("a", "x [red]"), ("b", "y [/red]")):
        path = fake_bundle(tmp_path / name, template=template).path
        label = ["--label", f"1.0.{name == 'b':d}"]
        assert cli("register", path, "--name", "smollm2", *label).exit_code == 0
    assert cli("promote", "smollm2", "1.0.1").exit_code == 0
    listed = json.loads(cli("versions", "--label", ">=1.0.1", "--json").stdout)
    assert [(entry["name"], entry["version"], entry["aliases"]) for entry in listed] == [
        ("smollm2", 2, ["champion"])
    ]
    assert "1.0.0" in cli("versions", "smollm2").stdout
    found = json.loads(cli("diff", "smollm2", "1.0.0", "champion", "--json").stdout)
    assert found["chat_template"][-2:] == ["-x [red]", "+y [/red]"]
    shown = cli("diff", "smollm2", "1", "2").stdout
    assert "-x [red]" in shown
    assert "+y [/red]" in shown
    assert cli("label", "smollm2", "1", "2026-11-21").exit_code == 0
    refused = cli("label", "smollm2", "2", "2026-11-21")
    assert "version 1 has the label" in str(refused.exception)
    assert cli("label", "smollm2", "1", "--remove").exit_code == 0
    assert cli("label", "smollm2", "1").exit_code == 1
