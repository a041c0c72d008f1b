"""Routes: which version gets which share of a model's new requests.

The release controller renders one file a model from the registry's state, as it renders
`config.pbtxt`; adapters follow it. It is written beside its place and renamed.
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
    """A copy of live requests for a version whose answers nobody waits for.

    Attributes:
        share: of the champion's requests, 0 to 1.
        concurrency: copies in flight at once in one adapter; one more is dropped and counted.
    """

    version: int = Field(ge=1)
    share: float = Field(gt=0, le=1)
    concurrency: int = Field(default=2, ge=1)


class ExperimentArm(_Frozen):
    """One arm of an experiment.

    Attributes:
        version: None is whatever the routes give.
        sampling: fields of an OpenAI request that replace what the caller left out.
        system_prompt: text of the prompt that stands for a missing system message.
        prompt: where that text came from, ``name@version`` in MLflow's prompt registry.
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
        share: of the units that take part, 0 to 1.
    """

    name: str
    salt: str
    unit: Literal["user", "conversation", "request"] = "user"
    share: float = Field(default=1.0, gt=0, le=1)
    arms: tuple[ExperimentArm, ...] = Field(min_length=2)


class Routes(_Frozen):
    """The routes of one model.

    Attributes:
        generation: of the registry's state that they were rendered from; it only grows.
        rollout: id of the rollout that runs, also the salt of sticky assignment.
        arms: the challenger first, so that who is on it stays on it while its weight grows.
        sticky: what decides the arm: each request by chance, the field ``user``, the
            conversation (its first messages), or ``header:<name>``.
        loaded: versions that a request may pin as ``model@version``.
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
    """Where the routes of a model lie."""
    return directory / f"{model}.json"


def write_routes(directory: Path, routes: Routes) -> None:
    """Replace a model's routes in one step."""
    directory.mkdir(parents=True, exist_ok=True)
    path = routes_path(directory, routes.model)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(routes.model_dump_json(), encoding="utf-8")
    scratch.replace(path)


def read_routes(path: Path) -> Routes | None:
    """The routes in a file; None if there are none.

    Raises:
        RoutesError: if the file is not what this version writes.
    """
    try:
        return Routes.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(item) for item in first["loc"])
        raise RoutesError(f"{path}: field {where!r}: {first['msg']}") from None
