from __future__ import annotations

from pathlib import Path

import pytest
from enginehouse.registry import Registry
from enginehouse.registry.labelling import remove_label, set_label
from enginehouse.registry.labels import Label, label_of, resolve
from enginehouse.registry.search import LabelRange, Query, parse_tag

from enginehouse.errors import ConflictError, NotRegisteredError, RegistryError
from tests.fake_bundle import fake_bundle

ORDERED = (
    ("0.9.0", "1.0.0-rc.1", "1.0.0-rc.2", "1.0.0-rc.10", "1.0.0-rc.x", "1.0.0", "1.0.10"),
    ("2026-11-20.3", "2026-11-21", "2026-11-21.2", "2026-11-21.10"),
    ("build-9", "build-10", "build-1234"),
)


@pytest.mark.parametrize("texts", ORDERED)
def test_labels_of_one_kind_have_an_order(texts: tuple[str, ...]) -> None:
    labels = [Label.parse(text) for text in texts]
    assert sorted(labels, key=lambda label: label.order) == labels
    assert len({label.kind for label in labels}) == 1


def test_a_leading_v_is_the_same_semantic_version() -> None:
    assert Label.parse("v1.4.0") == Label.parse("1.4.0")


@pytest.mark.parametrize(
    "text", ["", "8", "v8", "1.4", "01.4.0", "1.4.0+x", "2026-02-30", "2026-11-21.0", "build-", "x"]
)
def test_what_is_no_label_is_refused_with_the_three_forms(text: str) -> None:
    with pytest.raises(RegistryError, match=r"1\.4\.0 .* 2026-11-21 .* build-1234"):
        Label.parse(text)


@pytest.mark.parametrize(
    ("label", "text", "inside"),
    [
        ("1.4.0", ">=1.2.0,<2.0.0", True),
        ("2.0.0", ">=1.2.0,<2.0.0", False),
        ("1.4.0", "1.4.0", True),
        ("build-7", ">build-6", True),
        ("build-7", ">=1.0.0", False),
        ("2026-11-21.2", "<= 2026-11-21", False),
    ],
)
def test_a_range_holds_labels_of_its_own_kind(label, text, inside) -> None:
    assert (Label.parse(label) in LabelRange.parse(text)) is inside


@pytest.mark.parametrize("text", ["", ">=", ">=1.0.0,", "~1.0.0"])
def test_a_range_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(RegistryError):
        LabelRange.parse(text)


def test_a_version_is_found_by_number_label_and_alias(own: Registry, tmp_path: Path) -> None:
    bundle = fake_bundle(tmp_path / "a")
    own.register(bundle, "smollm2", "1.4.0")
    own.register(bundle, "smollm2")
    own.promote("smollm2", 2)
    set_label(own, "smollm2", 2, "build-7")
    found = {
        text: resolve(own, "smollm2", text).version
        for text in ("1", "v1", "1.4.0", "v1.4.0", "2", "build-7", "champion")
    }
    assert found == {
        "1": 1,
        "v1": 1,
        "1.4.0": 1,
        "v1.4.0": 1,
        "2": 2,
        "build-7": 2,
        "champion": 2,
    }
    with pytest.raises(NotRegisteredError, match=r"'nope'; there are versions 1, 2 and build-7"):
        resolve(own, "smollm2", "nope")


def test_a_label_is_unique_within_a_model_and_can_be_changed(own: Registry, tmp_path: Path) -> None:
    bundle = fake_bundle(tmp_path / "a")
    own.register(bundle, "smollm2", "1.0.0")
    with pytest.raises(ConflictError, match=r"version 1 has the label 1\.0\.0"):
        own.register(bundle, "smollm2", "v1.0.0")
    assert [r.version for r in own.versions("smollm2")] == [1]
    own.register(bundle, "smollm2")
    own.register(bundle, "other", "1.0.0")
    with pytest.raises(ConflictError, match="version 1"):
        set_label(own, "smollm2", 2, "1.0.0")
    assert own.version("smollm2", 2).label is None
    set_label(own, "smollm2", 1, "1.0.0")
    set_label(own, "smollm2", 1, "1.0.1")
    set_label(own, "smollm2", 2, "1.0.0")
    remove_label(own, "smollm2", 2)
    labels = {r.version: label_of(r) for r in own.versions("smollm2")}
    assert labels == {1: Label.parse("1.0.1"), 2: None}


def test_versions_are_found_by_what_they_are(own: Registry, tmp_path: Path) -> None:
    own.register(fake_bundle(tmp_path / "a"), "smollm2", "1.0.0")
    own.register(fake_bundle(tmp_path / "b", weight_format="fp16"), "smollm2", "1.1.0")
    own.set_version_tag("smollm2", 2, "team", "search")
    own.promote("smollm2", 1)
    every = own.versions("smollm2")

    def found(query: Query) -> list[int]:
        return [record.version for record in query.of(every)]

    assert found(Query()) == [2, 1]
    assert found(Query(runtime="openvino", quality="passed")) == [2, 1]
    assert found(Query(runtime="openvino 2026.4.1", weight_format="fp16")) == [2]
    assert found(Query(runtime="openvino 2025.1")) == []
    assert found(Query(label=LabelRange.parse("<1.1.0"))) == [1]
    assert found(Query(tags=(parse_tag("team=search"),))) == [2]
    assert found(Query(alias="champion")) == [1]
    with pytest.raises(RegistryError, match="key=value"):
        parse_tag("team")


def test_more_versions_and_models_than_a_page_of_mlflow_are_all_there(
    own: Registry, tmp_path: Path
) -> None:
    record = own.register(fake_bundle(tmp_path / "a"), "first")
    with own.session() as client:
        for number in range(120):
            client.create_registered_model(f"m{number}")
        client.create_registered_model("enginehouse.lease")
        client.create_registered_model("not servable")
    assert len(own.models()) == 121
    assert own.snapshot()["first"].aliases == {}
    own.promote("first", record.version)
    assert own.snapshot()["first"].aliases == {"champion": 1}
