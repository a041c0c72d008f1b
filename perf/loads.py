"""The load of one run: prompts and their schedule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from enginehouse.perf.profile import Profile
from enginehouse.perf.prompts import LoadPrompt, PromptMaker


@dataclass(frozen=True, slots=True)
class OfferedLoad:
    """The requests that a driver sends.

    Attributes:
        prompts: prompts in the order of sending.
        schedule: due time of each in seconds; in a closed loop the number of requests.
        level: streams, requests a second, or requests in a burst, depending on the profile.
    """

    prompts: Sequence[LoadPrompt]
    schedule: Sequence[float] | int
    level: float


def load_of(profile: Profile, maker: PromptMaker, level: float, place: str) -> OfferedLoad:
    """The prompts and schedule of a level; `place` is a seed, another value gives other prompts."""
    schedule = profile.schedule(level)
    count = schedule if isinstance(schedule, int) else len(schedule)
    return OfferedLoad(maker.prompts(profile, count, place=place), schedule, level)


def warm_up_of(profile: Profile, maker: PromptMaker) -> OfferedLoad:
    """The requests that are sent before the measurement and not counted."""
    prompts = maker.prompts(profile, profile.warm_up, place="warm-up")
    return OfferedLoad(prompts, len(prompts), float(min(4, max(1, len(prompts)))))
