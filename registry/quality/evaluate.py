"""Evaluates two versions on one data set with `mlflow.genai.evaluate` and compares them.

Each version is one run in the experiment ``enginehouse/<model>/evaluations``; scores are stored as
assessments of its traces. Rows are compared in pairs: both versions get the same questions.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from enginehouse.registry.quality.endpoint import Endpoint
from enginehouse.registry.quality.pairs import ScorerComparison, compare
from enginehouse.registry.quality.scorers import FINISH_ATTRIBUTE, built_in_scorers, user_scorers
from enginehouse.registry.quality.tracking import open_mlflow
from enginehouse.registry.store import Registry
from pydantic import BaseModel, ConfigDict, ValidationError

from enginehouse.errors import ServingError, SpecError
from enginehouse.lines import split_lines
from enginehouse.settings import Settings

_WORKERS = "MLFLOW_GENAI_EVAL_MAX_WORKERS"


class EvaluationRow(BaseModel):
    """One line of the data set.

    Attributes:
        inputs: ``{"messages": [...]}`` or ``{"question": "..."}``.
        expectations: what scorers compare with, for example ``{"expected_response": "4"}``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: dict[str, Any]
    expectations: dict[str, Any] = {}

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages to send."""
        return messages_of(self.inputs)


def messages_of(inputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The messages of a row's inputs."""
    if "messages" in inputs:
        return list(inputs["messages"])
    return [{"role": "user", "content": str(inputs["question"])}]


@dataclass(frozen=True, slots=True)
class Options:
    """How the versions are queried.

    Attributes:
        temperature: 0 is greedy, which makes a run repeatable.
        workers: concurrent questions.
    """

    max_tokens: int = 256
    temperature: float = 0.0
    seed: int = 0
    workers: int = 4

    @property
    def request(self) -> dict[str, Any]:
        """Fields of each request."""
        return {
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "seed": self.seed,
        }


@dataclass(frozen=True, slots=True)
class Scored:
    """Scores of one version.

    Attributes:
        scores: scorer → one value for each row, None where it does not apply.
        failed: number of rows without an answer.
    """

    version: int
    run_id: str
    scores: dict[str, list[float | None]]
    rates: frozenset[str]
    failed: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Two versions compared on one data set."""

    model: str
    rows: int
    first: Scored
    second: Scored
    comparisons: tuple[ScorerComparison, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain data for `--json`, without the scores of each row."""
        sides = [
            {"version": side.version, "run_id": side.run_id, "failed": side.failed}
            for side in (self.first, self.second)
        ]
        return {
            "model": self.model,
            "rows": self.rows,
            "versions": sides,
            "comparisons": [asdict(one) for one in self.comparisons],
        }


def load_rows(path: Path) -> list[EvaluationRow]:
    """Read a data set with one JSON object on each line.

    Raises:
        SpecError: names the file, line and field.
    """
    try:
        lines = split_lines(path.read_bytes().decode("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(f"--data {path}: {error}") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            rows.append(_row(line, f"{path}, line {number}"))
    if not rows:
        raise SpecError(f"--data {path}: no lines; give one JSON object a line")
    return rows


def _row(line: str, where: str) -> EvaluationRow:
    try:
        row = EvaluationRow.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(item) for item in first["loc"]) or "the line"
        raise SpecError(f"{where}: {field}: {first['msg']}") from None
    messages = row.inputs.get("messages")
    if not isinstance(row.inputs.get("question"), str) and not (
        isinstance(messages, list) and messages and all(isinstance(m, dict) for m in messages)
    ):
        raise SpecError(
            f'{where}: inputs: give {{"question": "..."}} or {{"messages": [{{"role": ..., '
            f'"content": ...}}]}}, not {json.dumps(row.inputs)[:80]}'
        )
    return row


def evaluate(
    settings: Settings,
    model: str,
    versions: tuple[int, int],
    rows: Sequence[EvaluationRow],
    *,
    scorers: Sequence[str] = (),
    options: Options | None = None,
) -> Evaluation:
    """Send every question to both versions and compare the scores.

    Args:
        scorers: the user's own scorers, as ``module:function``.

    Raises:
        ServingError: if a version does not answer the first question.
        SpecError: if a scorer cannot be imported.
        RegistryError: if MLflow does not answer.
    """
    options = options or Options()
    mlflow = open_mlflow(settings)
    everyone = [*built_in_scorers(), *user_scorers(scorers)]
    registry = Registry(settings)
    title = f"enginehouse/{registry.registered_name(model)}/evaluations"
    experiment = registry.experiment(title)
    with Endpoint(settings.addresses.api_url) as endpoint, registry.session():
        run = _Evaluator(mlflow, experiment, endpoint, everyone, options)
        first, second = (run.score(model, version, rows) for version in versions)
    comparisons = tuple(
        compare(name, first.scores[name], second.scores[name], rate=name in first.rates)
        for name in first.scores
        if name in second.scores
    )
    return Evaluation(model, len(rows), first, second, comparisons)


@dataclass(frozen=True, slots=True)
class _Evaluator:
    """What the evaluations of both versions share."""

    mlflow: Any
    experiment: str
    endpoint: Endpoint
    scorers: Sequence[Any]
    options: Options

    def score(self, model: str, version: int, rows: Sequence[EvaluationRow]) -> Scored:
        """Send every question to one version, in one MLflow run."""
        name = f"{model}@{version}"
        # One question first: a version that is not served gives one error, not a failure for every
        # row.
        first = {**self.options.request, "max_tokens": 1}
        self.endpoint.chat(name, rows[0].messages, **first)
        data = [{"inputs": row.inputs, "expectations": row.expectations} for row in rows]
        tags = {"enginehouse.model": model, "enginehouse.version": str(version)}
        with (
            _environment({_WORKERS: str(self.options.workers)}),
            self.mlflow.start_run(experiment_id=self.experiment, run_name=name, tags=tags) as run,
            # MLflow prints a summary; stdout has to stay clean for our table and `--json`.
            contextlib.redirect_stdout(io.StringIO()),
        ):
            self.mlflow.log_params({**self.options.request, "rows": len(rows)})
            found = self.mlflow.genai.evaluate(
                data=data, predict_fn=self._asker(name), scorers=list(self.scorers)
            )
        return _collect(found.result_df, rows, version, run.info.run_id)

    def _asker(self, name: str) -> Callable[..., str]:
        def ask(**inputs: Any) -> str:
            with self.mlflow.start_span("chat") as span:
                span.set_inputs(inputs)
                answer = self.endpoint.chat(name, messages_of(inputs), **self.options.request)
                span.set_attribute(FINISH_ATTRIBUTE, answer.finish)
                span.set_outputs(answer.text)
            return answer.text

        return ask


def _collect(frame: Any, rows: Sequence[EvaluationRow], version: int, run_id: str) -> Scored:
    if frame is None or len(frame) != len(rows):
        got = 0 if frame is None else len(frame)
        raise ServingError(f"MLflow returned {got} of {len(rows)} rows")
    for row, request in zip(rows, frame["request"], strict=True):
        if request != row.inputs:
            raise ServingError("MLflow returned the rows in another order; nothing was compared")
    expected = {key for row in rows for key in row.expectations}
    scores: dict[str, list[float | None]] = {}
    rates = set()
    for column in frame.columns:
        name = str(column).removesuffix("/value")
        if name == column or name in expected:
            continue
        values = [_number(value) for value in frame[column]]
        if any(value is not None for value in values):
            scores[name] = values
            if all(isinstance(v, bool) for v in frame[column] if _number(v) is not None):
                rates.add(name)
    failed = sum(str(getattr(state, "value", state)) != "OK" for state in frame["state"])
    return Scored(version, run_id, scores, frozenset(rates), failed)


def _number(value: Any) -> float | None:
    if isinstance(value, bool | int | float):
        number = float(value)
        return None if number != number else number  # noqa: PLR0124 - NaN
    return {"yes": 1.0, "no": 0.0}.get(str(value).lower())


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {key: os.environ.get(key) for key in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value
