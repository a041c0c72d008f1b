"""What each request came to: the adapter's record, and the raw material of every analysis."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Outcome(StrEnum):
    """How a request ended, from the point of view of the version that served it."""

    OK = "ok"
    #: The version, its engine or its replica failed it (5xx, a cut stream, a deadline).
    ERROR = "error"
    #: The caller's own fault (4xx) or leave: says nothing about the version.
    REFUSED = "refused"
    CANCELLED = "cancelled"
    #: Admission said "try again later" (429): load, counted apart from errors.
    OVERLOADED = "overloaded"


class RequestSample(_Frozen):
    """One request, without its text.

    Attributes:
        at: when it ended, seconds since the epoch.
        request_id: of the response; feedback names it.
        rollout, generation: of the routes that chose the version.
        pinned: the caller chose the version, so it is no part of a comparison.
        shadow: a copy whose answer went nowhere.
        inter_token_s: mean wait between tokens; None with fewer than two.
        empty: no visible text came out.
        refusal: the text begins like a refusal to answer.
        experiment, arm: the A/B experiment that it was exposed to.
    """

    at: float
    request_id: str
    model: str
    version: int
    rollout: str | None = None
    generation: int = 0
    pinned: bool = False
    shadow: bool = False
    endpoint: str = "chat.completions"
    outcome: Outcome = Outcome.OK
    code: str = "200"
    ttft_s: float | None = None
    inter_token_s: float | None = None
    total_s: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    finish: str | None = None
    empty: bool = False
    refusal: bool = False
    tenant: str | None = None
    experiment: str | None = None
    arm: str | None = None

    @property
    def judged(self) -> bool:
        """Whether it says something of its version: not its caller's fault, leave or choice."""
        return self.outcome in {Outcome.OK, Outcome.ERROR} and not self.pinned


class Feedback(_Frozen):
    """A user's word on one response.

    Attributes:
        thumbs: 1 up, -1 down.
        score: 0 to 1.
    """

    at: float
    request_id: str
    model: str
    version: int
    rollout: str | None = None
    thumbs: int | None = None
    score: float | None = None
    comment: str | None = None
    experiment: str | None = None
    arm: str | None = None


class SamplePage(_Frozen):
    """What an adapter hands out after a place in its memory.

    Attributes:
        boot: changes when the adapter starts again; places before that mean nothing.
        last: the place of the newest sample; ask for what comes after it.
        dropped: samples that were asked for and are out of memory already.
    """

    boot: str
    last: int
    dropped: int = 0
    samples: tuple[RequestSample, ...] = ()
    feedback: tuple[Feedback, ...] = ()
