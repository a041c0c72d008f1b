"""Compares two versions: manifest, quality, speed, size, tokenizer and chat template."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from enginehouse.lines import split_lines
from enginehouse.manifest import BundleFile, EngineManifest

Value = str | float | int | bool | None
RowVerdict = Literal["better", "worse", "changed", "equal"]

#: Numeric fields with a direction → whether higher is better.
_MORE_IS_BETTER = {
    "perplexity_ratio": False,
    "mean_kl_nats": False,
    "equal_tokens_share": True,
    "tasks_solved": True,
    "max_abs_difference": False,
    "min_cosine": True,
    "ttft_ms": False,
    "tokens_per_second_1": True,
    "tokens_per_second_16": True,
    "bundle_bytes": False,
    "engine_bytes": False,
}
_ENGINE = "engine/"
#: Parts of the manifest that have their own section.
_ELSEWHERE = {"files", "quality"}
_LISTED_TOKENS = 10
_LISTED_LINES = 400


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of one version that are compared.

    Attributes:
        title: for display: name, version and label.
        speed: content of `reports/speed.json`; None if the bundle has none.
        chat_template: None for an embedding model, which has none.
        tokenizer: the parsed `tokenizer.json`; None if it was not read because both are equal.
    """

    title: str
    manifest: EngineManifest
    speed: Mapping[str, float] | None = None
    chat_template: str | None = None
    tokenizer: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class DiffRow:
    """One field of both versions.

    Attributes:
        percent: change of a number from left to right; None if it is undefined.
    """

    section: str
    field: str
    left: Value
    right: Value
    verdict: RowVerdict
    percent: float | None = None


@dataclass(frozen=True, slots=True)
class BundleDiff:
    """Result of a comparison.

    Attributes:
        rows: quality, speed and size always; other fields and files only if they differ.
        chat_template, tokenizer: lines of a unified diff; empty if equal.
    """

    left: str
    right: str
    rows: tuple[DiffRow, ...]
    chat_template: tuple[str, ...]
    tokenizer: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return asdict(self)


def compare(left: Facts, right: Facts) -> BundleDiff:
    """Compare two versions of the same model or of different models."""
    a, b = left.manifest, right.manifest
    rows = [
        *_rows("manifest", _described(a), _described(b), differing=True),
        *_rows("quality", _quality(a), _quality(b)),
        *_rows("speed", left.speed or {}, right.speed or {}),
        *_rows("size", _sizes(a), _sizes(b)),
        *_rows("files", _digests(a.files), _digests(b.files), differing=True),
    ]
    return BundleDiff(
        left=left.title,
        right=right.title,
        rows=tuple(rows),
        chat_template=_text_diff(left.chat_template or "", right.chat_template or ""),
        tokenizer=tuple(_tokenizer_diff(left.tokenizer or {}, right.tokenizer or {})),
    )


def _rows(
    section: str, left: Mapping[str, Value], right: Mapping[str, Value], *, differing: bool = False
) -> Iterator[DiffRow]:
    for field in dict.fromkeys((*left, *right)):
        row = _row(section, field, left.get(field), right.get(field))
        if row.verdict != "equal" or not differing:
            yield row


def _row(section: str, field: str, left: Value, right: Value) -> DiffRow:
    if left == right:
        return DiffRow(section, field, left, right, "equal")
    if not (_is_number(left) and _is_number(right)):
        return DiffRow(section, field, left, right, "changed")
    before, after = float(left or 0), float(right or 0)
    percent = 100 * (after - before) / abs(before) if before else None
    more_is_better = _MORE_IS_BETTER.get(field)
    if more_is_better is None:
        return DiffRow(section, field, left, right, "changed", percent)
    better = (after > before) is more_is_better
    return DiffRow(section, field, left, right, "better" if better else "worse", percent)


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _described(manifest: EngineManifest) -> dict[str, Value]:
    return dict(_flat(manifest.model_dump(mode="json", exclude=_ELSEWHERE)))


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Value]]:
    """Leaves of nested data by dotted path; a list counts as one leaf."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        yield path, json.dumps(value)
    else:
        yield path, value


def _quality(manifest: EngineManifest) -> dict[str, Value]:
    quality = manifest.quality
    found = {} if quality is None else quality.model_dump(mode="json")
    return {key: value for key, value in found.items() if value is not None}


def _sizes(manifest: EngineManifest) -> dict[str, Value]:
    engine = sum(file.size_bytes for file in manifest.files if file.path.startswith(_ENGINE))
    return {"bundle_bytes": manifest.size_bytes, "engine_bytes": engine}


def _digests(files: Iterable[BundleFile]) -> dict[str, Value]:
    return {file.path: file.sha256[:12] for file in files}


def _text_diff(left: str, right: str) -> tuple[str, ...]:
    lines = difflib.unified_diff(
        split_lines(left), split_lines(right), "left", "right", lineterm="", n=2
    )
    return _capped(list(lines))


def _capped(lines: list[str]) -> tuple[str, ...]:
    more = len(lines) - _LISTED_LINES
    return tuple(lines if more <= 0 else [*lines[:_LISTED_LINES], f"… {more} lines more"])


def _tokenizer_diff(left: Mapping[str, Any], right: Mapping[str, Any]) -> Iterator[str]:
    """Diff of two tokenizers; vocabularies are compared as tables, because they are too long."""
    a, b = _vocabulary(left), _vocabulary(right)
    yield from _listed("-", "token only left", [t for t in a if t not in b])
    yield from _listed("+", "token only right", [t for t in b if t not in a])
    yield from _listed("!", "token with another id", [t for t in a if t in b and a[t] != b[t]])
    before, after = _merges(left), _merges(right)
    if before != after:
        yield f"! merges: {len(before)} left, {len(after)} right, not the same"
    yield from _text_diff(_without_tables(left), _without_tables(right))


def _vocabulary(tokenizer: Mapping[str, Any]) -> dict[str, Any]:
    found = tokenizer.get("model", {}).get("vocab", {})
    # Unigram models list (token, score) pairs.
    return dict(found) if isinstance(found, dict) else {str(t[0]): t[1:] for t in found}


def _merges(tokenizer: Mapping[str, Any]) -> list[Any]:
    return list(tokenizer.get("model", {}).get("merges", ()))


def _listed(sign: str, what: str, tokens: list[str]) -> Iterator[str]:
    yield from (f"{sign} {what}: {token!r}" for token in tokens[:_LISTED_TOKENS])
    if len(tokens) > _LISTED_TOKENS:
        yield f"{sign} {what}: {len(tokens) - _LISTED_TOKENS} more"


def _without_tables(tokenizer: Mapping[str, Any]) -> str:
    model = {k: v for k, v in tokenizer.get("model", {}).items() if k not in {"vocab", "merges"}}
    return json.dumps({**tokenizer, "model": model}, indent=2, ensure_ascii=False)
