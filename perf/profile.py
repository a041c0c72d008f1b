"""Load profiles: what is asked, how much of it and when. They are files that anybody may add."""

from __future__ import annotations

import random
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import yaml
from enginehouse.perf.measurement import RequestSlo
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from enginehouse.errors import SettingsError

Door = Literal["adapter", "ensemble", "tensorrt_llm"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Lengths(_Section):
    """Tokens, drawn from a normal distribution that is cut at both ends.

    Attributes:
        stdev: 0 makes all alike.
    """

    mean: PositiveInt
    stdev: float = Field(default=0.0, ge=0)
    minimum: PositiveInt = 1
    maximum: PositiveInt = 1_000_000

    def draw(self, chance: random.Random) -> int:
        """One length."""
        value = round(chance.gauss(self.mean, self.stdev)) if self.stdev else self.mean
        return min(self.maximum, max(self.minimum, value))


class RequestKind(_Section):
    """One kind of request in the mix.

    Attributes:
        weight: its share, relative to the others' weights.
        input, output: tokens of the user's text, and of the answer.
        shared_prefix: tokens that all requests of a group begin with.
        groups: how many different prefixes there are.
    """

    name: str
    weight: PositiveFloat = 1.0
    input: Lengths
    output: Lengths
    shared_prefix: int = Field(default=0, ge=0)
    groups: PositiveInt = 1


class Concurrency(_Section):
    """Closed loop: as one request ends the next begins.

    Attributes:
        levels: streams at a time; one run each.
        requests_a_stream: at each level.
    """

    kind: Literal["concurrency"]
    levels: Annotated[list[PositiveInt], Field(min_length=1)]
    requests_a_stream: PositiveInt = 4


class RequestRate(_Section):
    """Open loop: requests come whether others have ended or not.

    Attributes:
        levels: requests a second; one run each.
        arrivals: times between requests: exponential (Poisson arrivals), or all alike.
        duration_s: how long requests are sent, at each level.
    """

    kind: Literal["request_rate"]
    levels: Annotated[list[PositiveFloat], Field(min_length=1)]
    arrivals: Literal["poisson", "constant"] = "poisson"
    duration_s: PositiveFloat = 20.0


class Bursts(_Section):
    """Many at once, then a pause.

    Attributes:
        levels: requests in a burst; one run each.
        every_s: from one burst to the next.
        count: bursts at each level.
    """

    kind: Literal["bursts"]
    levels: Annotated[list[PositiveInt], Field(min_length=1)]
    every_s: PositiveFloat = 5.0
    count: PositiveInt = 4


Load = Annotated[Concurrency | RequestRate | Bursts, Field(discriminator="kind")]


class Profile(_Section):
    """One file of `perf/profiles`.

    Attributes:
        mix: kinds of requests.
        seed: of prompts, lengths and arrival times; the same profile asks the same twice.
        warm_up: requests that are sent before and not counted.
        slo: what goodput counts.
    """

    name: str
    description: str
    mix: Annotated[list[RequestKind], Field(min_length=1)]
    load: Load
    seed: int = 0
    warm_up: int = Field(default=4, ge=0)
    slo: RequestSlo | None = None

    @property
    def levels(self) -> Sequence[float]:
        """Loads of which each has a run of its own."""
        return self.load.levels

    def schedule(self, level: float) -> list[float] | int:
        """When requests are due, in seconds; or how many requests, in a closed loop."""
        load = self.load
        match load:
            case Concurrency():
                return load.requests_a_stream * int(level)
            case Bursts():
                return [n * load.every_s for n in range(load.count) for _ in range(int(level))]
            case RequestRate():
                return _arrivals(load, level, self.seed)


def _arrivals(load: RequestRate, level: float, seed: int) -> list[float]:
    chance = random.Random(f"{seed} {level}")  # noqa: S311 - arrival times, not secrets
    due = [0.0]
    while due[-1] < load.duration_s:
        gap = chance.expovariate(level) if load.arrivals == "poisson" else 1 / level
        due.append(due[-1] + gap)
    return due[:-1] or [0.0]


def profile_names() -> list[str]:
    """Profiles that come with the package."""
    found = files("enginehouse.perf.profiles").iterdir()
    return sorted(f.name.removesuffix(".yaml") for f in found if f.name.endswith(".yaml"))


def load_profile(name_or_path: str) -> Profile:
    """A profile of the package by its name, or one's own by its path.

    Raises:
        SettingsError: if there is none, or if a field of it is wrong.
    """
    own = Path(name_or_path)
    if own.suffix in {".yaml", ".yml"}:
        if not own.is_file():
            raise SettingsError(f"profile {name_or_path}: there is no such file")
        text = own.read_text(encoding="utf-8")
    elif name_or_path in profile_names():
        text = (files("enginehouse.perf.profiles") / f"{name_or_path}.yaml").read_text("utf-8")
    else:
        raise SettingsError(
            f"no profile {name_or_path!r}; there are: {', '.join(profile_names())}, or give the "
            "path of a .yaml file of your own"
        )
    try:
        return Profile.model_validate(yaml.safe_load(text))
    except (ValidationError, yaml.YAMLError) as error:
        raise SettingsError(f"profile {name_or_path}: {error}") from error
