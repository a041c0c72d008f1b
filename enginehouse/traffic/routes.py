"""Routes: how a model's new requests are divided between its versions.

The release controller renders one file for each model from the registry's state, as it renders
`config.pbtxt`; adapters follow it. Files are replaced atomically by a rename.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from enginehouse.errors import RoutesError

_WHOLE = 100


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Arm(_Frozen):
    """A version and its share of new requests, in percent."""

    version: int = Field(ge=1)
    weight: int = Field(ge=0, le=_WHOLE)


class ShadowRoute(_Frozen):
    """Copies of live requests to a version whose answers are not returned.

    Attributes:
        share: share of the champion's requests to copy, 0 to 1.
        concurrency: maximum number of copies in flight in one adapter; more are dropped and
            counted.
    """

    version: int = Field(ge=1)
    share: float = Field(gt=0, le=1)
    concurrency: int = Field(default=2, ge=1)


class ExperimentArm(_Frozen):
    """One arm of an experiment.

    Attributes:
        version: None means that normal routing chooses.
        sampling: fields of an OpenAI request to set if the caller did not.
        system_prompt: used if a request has no system message.
        prompt: source of that text, ``name@version`` in MLflow's prompt registry.
    """

    name: str
    weight: float = Field(gt=0)
    version: int | None = None
    sampling: dict[str, Any] = {}
    system_prompt: str | None = None
    prompt: str | None = None


class ExperimentRoute(_Frozen):
    """A running A/B experiment.

    Attributes:
        unit: what is assigned: a ``user``, a ``conversation``, or each ``request``.
        share: share of the units that take part, 0 to 1.
    """

    name: str
    salt: str
    unit: Literal["user", "conversation", "request"] = "user"
    share: float = Field(default=1.0, gt=0, le=1)
    arms: tuple[ExperimentArm, ...] = Field(min_length=2)


class Routes(_Frozen):
    """The routes of one model.

    Attributes:
        generation: of the registry's state that they were rendered from; it only increases.
        rollout: id of the rollout in progress; also the salt of sticky assignment.
        arms: the challenger first, so that units on it stay on it while its weight grows.
        sticky: what the arm is chosen by: at random for each request, by the field ``user``, by
            the conversation (its first messages), or by ``header:<name>``.
        loaded: versions that a request may name as ``model@version``.
    """

    schema_version: Literal[1] = 1
    model: str
    generation: int = Field(ge=0)
    rollout: str | None = None
    champion: int
    challenger: int | None = None
    arms: tuple[Arm, ...] = Field(min_length=1)
    sticky: str = Field(default="none", pattern=r"^(none|user|conversation|header:[A-Za-z0-9-]+)$")
    shadow: ShadowRoute | None = None
    experiments: tuple[ExperimentRoute, ...] = ()
    loaded: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _weights_are_a_whole(self) -> Routes:
        total = sum(arm.weight for arm in self.arms)
        if total != _WHOLE:
            raise ValueError(f"the weights sum to {total}, not to {_WHOLE}")
        return self

    def weight(self, version: int) -> int:
        """A version's share in percent."""
        return sum(arm.weight for arm in self.arms if arm.version == version)


def routes_path(directory: Path, model: str) -> Path:
    """Path of a model's routes."""
    return directory / f"{model}.json"


def write_routes(directory: Path, routes: Routes) -> None:
    """Replace a model's routes atomically."""
    directory.mkdir(parents=True, exist_ok=True)
    path = routes_path(directory, routes.model)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(routes.model_dump_json(), encoding="utf-8")
    scratch.replace(path)


def read_routes(path: Path) -> Routes | None:
    """Read a routes file; None if it does not exist.

    Raises:
        RoutesError: if the file is invalid.
    """
    try:
        return Routes.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(item) for item in first["loc"])
        raise RoutesError(f"{path}: field {where!r}: {first['msg']}") from None
