"""Experiments in MLflow: one JSON tag for each experiment on the registered model.

The tag holds the route that adapters follow, frozen when the experiment starts, including the text
of its prompts. Moving an alias or editing a file does not change a running arm.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from typing import Any

from enginehouse.registry.experiments.definition import ArmSpec, ExperimentSpec
from enginehouse.registry.store import Registry
from pydantic import BaseModel, ConfigDict, ValidationError

from enginehouse.errors import NotRegisteredError, RolloutError
from enginehouse.traffic import ExperimentArm, ExperimentRoute

_log = logging.getLogger(__name__)
_TAG = "enginehouse.experiment."
# Length of the column in MLflow's database. SQLite does not enforce it; PostgreSQL does.
_TAG_CHARACTERS = 5000


class ExperimentRecord(BaseModel):
    """One run of an experiment.

    Attributes:
        started_at, stopped_at: seconds since the epoch; None while it runs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    spec: ExperimentSpec
    route: ExperimentRoute
    started_at: float
    stopped_at: float | None = None
    actor: str = ""

    @property
    def running(self) -> bool:
        """Whether the experiment still assigns requests."""
        return self.stopped_at is None


def routes_of(tags: Mapping[str, str]) -> tuple[ExperimentRoute, ...]:
    """The running experiments among a registered model's tags, sorted by name.

    A tag that cannot be parsed is logged and skipped, so that one broken experiment does not stop
    the model's routing.
    """
    found = [_parsed(key, tags[key]) for key in sorted(tags) if key.startswith(_TAG)]
    return tuple(record.route for record in found if record is not None and record.running)


def versions_of(routes: tuple[ExperimentRoute, ...]) -> frozenset[int]:
    """Versions that arms use; they have to stay loaded."""
    return frozenset(
        arm.version for route in routes for arm in route.arms if arm.version is not None
    )


class ExperimentStore:
    """Starts, stops and finds experiments."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def start(self, spec: ExperimentSpec, *, now: float, actor: str = "") -> ExperimentRecord:
        """Start an experiment: freeze its route and publish it to the adapters.

        Raises:
            RolloutError: if an experiment of this name runs already, or its prompts are too long.
            NotRegisteredError: if there is no such model, version or prompt.
            RegistryError: if MLflow refuses or does not answer.
        """
        for known in self.list():
            if known.spec.name == spec.name and (known.running or known.spec.model != spec.model):
                raise RolloutError(
                    f"there is an experiment {spec.name!r} on {known.spec.model} already: stop it "
                    f"with `enginehouse experiment stop {spec.name}` if it runs, and give this one "
                    "another name if it is another model's"
                )
        if spec.model not in self._registry.models():
            raise NotRegisteredError(
                f"field model: no registered model {spec.model!r}; models: "
                f"{', '.join(self._registry.models()) or 'none yet'}"
            )
        for arm in spec.arms:
            if arm.version is not None:
                self._registry.version(spec.model, arm.version)
        route = ExperimentRoute(
            name=spec.name,
            # New for each run, so that units are not assigned to the same arm as in the last run.
            salt=f"{spec.name}-{uuid.uuid4().hex[:12]}",
            unit=spec.unit,
            share=spec.share,
            arms=tuple(self._arm(arm) for arm in spec.arms),
        )
        record = ExperimentRecord(spec=spec, route=route, started_at=now, actor=actor)
        self._write(record)
        return record

    def stop(self, name: str, *, now: float) -> ExperimentRecord:
        """Stop an experiment; its data are kept.

        Raises:
            RolloutError: if it does not exist or has been stopped already.
            RegistryError: if MLflow refuses or does not answer.
        """
        record = self.find(name)
        if not record.running:
            raise RolloutError(f"experiment {name!r} has been stopped already")
        stopped = record.model_copy(update={"stopped_at": now})
        self._write(stopped)
        return stopped

    def find(self, name: str) -> ExperimentRecord:
        """The latest run of the experiment with this name.

        Raises:
            RolloutError: if it does not exist; names the existing experiments.
            RegistryError: if MLflow does not answer.
        """
        known = self.list()
        for record in known:
            if record.spec.name == name:
                return record
        names = ", ".join(sorted({r.spec.name for r in known})) or "none yet"
        raise RolloutError(f"there is no experiment {name!r}; experiments: {names}")

    def list(self, model: str | None = None) -> list[ExperimentRecord]:
        """Experiments of one model or of all models, newest first.

        Raises:
            NotRegisteredError: if there is no such model.
            RegistryError: if MLflow does not answer.
        """
        known = self._registry.snapshot()
        if model is not None and model not in known:
            names = ", ".join(sorted(known)) or "none yet"
            raise NotRegisteredError(f"no registered model {model!r}; models: {names}")
        found = [
            _parsed(key, value)
            for name, snapshot in known.items()
            for key, value in snapshot.tags.items()
            if key.startswith(_TAG) and model in {None, name}
        ]
        records = [record for record in found if record is not None]
        return sorted(records, key=lambda record: record.started_at, reverse=True)

    def _write(self, record: ExperimentRecord) -> None:
        value = record.model_dump_json(exclude_defaults=True)
        if len(value) > _TAG_CHARACTERS:
            raise RolloutError(
                f"experiment {record.spec.name!r} is {len(value)} characters with the text of its "
                f"prompts, and the registry carries {_TAG_CHARACTERS}: shorten the prompts of "
                f"arms {', '.join(arm.name for arm in record.route.arms if arm.system_prompt)}"
            )
        self._registry.set_model_tag(record.spec.model, f"{_TAG}{record.spec.name}", value)

    def _arm(self, arm: ArmSpec) -> ExperimentArm:
        text, source = self._prompt(arm.prompt) if arm.prompt else (None, None)
        return ExperimentArm(
            name=arm.name,
            weight=arm.weight,
            version=arm.version,
            sampling=arm.sampling.given(),
            system_prompt=text,
            prompt=source,
        )

    def _prompt(self, wanted: str) -> tuple[str, str]:
        """Text of a prompt and its ``name@version``, also if it was given by alias."""
        name, _, place = wanted.rpartition("@")
        uri = f"prompts:/{name}/{place}" if place.isdecimal() else f"prompts:/{name}@{place}"
        with self._registry.session() as client:
            prompt = client.load_prompt(uri, allow_missing=True)
        if prompt is None:
            raise NotRegisteredError(
                f"there is no prompt {wanted!r} in MLflow's prompt registry; register it with "
                f"mlflow.genai.register_prompt(name={name!r}, template=...)"
            )
        return _system_text(prompt, wanted), f"{name}@{prompt.version}"


def _system_text(prompt: Any, wanted: str) -> str:
    """The text of a text prompt, or the system message of a chat prompt.

    Raises:
        RolloutError: if it has variables, which cannot be filled, or has no system message.
    """
    if prompt.variables:
        raise RolloutError(
            f"prompt {wanted!r} has variables ({', '.join(sorted(prompt.variables))}): an arm's "
            "system prompt is used without changes; register a version without them"
        )
    if isinstance(prompt.template, str):
        return prompt.template
    for message in prompt.template:
        if message.get("role") == "system":
            return str(message["content"])
    raise RolloutError(f"prompt {wanted!r} has no message of role 'system'")


def _parsed(key: str, value: str) -> ExperimentRecord | None:
    try:
        return ExperimentRecord.model_validate_json(value)
    except ValidationError as error:
        _log.warning("tag %s is not a valid experiment; skipped: %s", key, error.errors()[0]["msg"])
        return None
