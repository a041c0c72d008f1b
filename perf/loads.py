"""One run's work: prompts, and when each is due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from enginehouse.perf.profile import Profile
from enginehouse.perf.prompts import LoadPrompt, PromptMaker


@dataclass(frozen=True, slots=True)
class OfferedLoad:
    """What a driver sends.

    Attributes:
        prompts: in the order in which they are sent.
        schedule: when each is due, in seconds; or that many in a closed loop.
        level: streams, requests a second or requests in a burst, as the profile says.
    """

    prompts: Sequence[LoadPrompt]
    schedule: Sequence[float] | int
    level: float


def load_of(profile: Profile, maker: PromptMaker, level: float, place: str) -> OfferedLoad:
    """A level's prompts and schedule; another `place` has other prompts."""
    schedule = profile.schedule(level)
    count = schedule if isinstance(schedule, int) else len(schedule)
    return OfferedLoad(maker.prompts(profile, count, place=place), schedule, level)


def warm_up_of(profile: Profile, maker: PromptMaker) -> OfferedLoad:
    """What is sent before and not counted."""
    prompts = maker.prompts(profile, profile.warm_up, place="warm-up")
    return OfferedLoad(prompts, len(prompts), float(min(4, max(1, len(prompts)))))
