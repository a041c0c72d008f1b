"""Load profiles: kinds of requests, loads and arrival times. Users may add files of their own."""

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

EntryPoint = Literal["adapter", "ensemble", "tensorrt_llm"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Lengths(_Section):
    """Numbers of tokens, drawn from a truncated normal distribution.

    Attributes:
        stdev: 0 makes all lengths equal.
    """

    mean: PositiveInt
    stdev: float = Field(default=0.0, ge=0)
    minimum: PositiveInt = 1
    maximum: PositiveInt = 1_000_000

    def draw(self, chance: random.Random) -> int:
        """Draw one length."""
        value = round(chance.gauss(self.mean, self.stdev)) if self.stdev else self.mean
        return min(self.maximum, max(self.minimum, value))


class RequestKind(_Section):
    """One kind of request in the mix.

    Attributes:
        weight: relative frequency.
        input, output: tokens of the user's text and of the answer.
        shared_prefix: number of first tokens that all requests of a group share.
        groups: number of different prefixes.
    """

    name: str
    weight: PositiveFloat = 1.0
    input: Lengths
    output: Lengths
    shared_prefix: int = Field(default=0, ge=0)
    groups: PositiveInt = 1


class Concurrency(_Section):
    """Closed loop: when a request ends the next one is sent.

    Attributes:
        levels: numbers of concurrent streams; one run for each.
        requests_a_stream: requests of each stream.
    """

    kind: Literal["concurrency"]
    levels: Annotated[list[PositiveInt], Field(min_length=1)]
    requests_a_stream: PositiveInt = 4


class RequestRate(_Section):
    """Open loop: requests are sent independent of the requests in flight.

    Attributes:
        levels: requests a second; one run for each.
        arrivals: times between requests: exponential (Poisson arrivals) or constant.
        duration_s: duration of sending at each level.
    """

    kind: Literal["request_rate"]
    levels: Annotated[list[PositiveFloat], Field(min_length=1)]
    arrivals: Literal["poisson", "constant"] = "poisson"
    duration_s: PositiveFloat = 20.0


class Bursts(_Section):
    """Bursts of requests with pauses between them.

    Attributes:
        levels: requests in a burst; one run for each.
        every_s: time from one burst to the next.
        count: number of bursts at each level.
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
        seed: seed of prompts, lengths and arrival times; runs of a profile are reproducible.
        warm_up: requests that are sent before the measurement and not counted.
        slo: limits that a request must meet to count for goodput.
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
        """The loads, each of which is a run of its own."""
        return self.load.levels

    def schedule(self, level: float) -> list[float] | int:
        """Due times of the requests in seconds; in a closed loop the number of requests."""
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
    """Names of the profiles in the package."""
    found = files("enginehouse.perf.profiles").iterdir()
    return sorted(f.name.removesuffix(".yaml") for f in found if f.name.endswith(".yaml"))


def load_profile(name_or_path: str) -> Profile:
    """Load a profile of the package by its name, or another one by its path.

    Raises:
        SettingsError: if it does not exist, or one of its fields is invalid.
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
