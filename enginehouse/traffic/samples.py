"""Request samples: the adapter's record of each request, and the input of all analyses."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Outcome(StrEnum):
    """How a request ended, from the point of view of the version that served it."""

    OK = "ok"
    #: The version, its engine or its replica failed (5xx, an interrupted stream, a deadline).
    ERROR = "error"
    #: The caller's error (4xx); says nothing about the version.
    REFUSED = "refused"
    #: The caller disconnected or cancelled; says nothing about the version.
    CANCELLED = "cancelled"
    #: Not admitted, try again later (429): caused by load, and counted apart from errors.
    OVERLOADED = "overloaded"


class RequestSample(_Frozen):
    """One request, without its text.

    Attributes:
        at: when it ended, seconds since the epoch.
        request_id: id of the response; feedback refers to it.
        rollout, generation: of the routes that chose the version.
        pinned: the caller chose the version, so the request is not used for comparisons.
        shadow: a copy whose answer was not returned.
        inter_token_s: mean time between tokens; None with fewer than two.
        empty: the answer has no visible text.
        refusal: the text begins like a refusal to answer.
        experiment, arm: the A/B experiment that the request was part of.
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
        """Whether it counts for its version: not the caller's error, cancellation or choice."""
        return self.outcome in {Outcome.OK, Outcome.ERROR} and not self.pinned


class Feedback(_Frozen):
    """A user's feedback on one response.

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
    """Samples of an adapter after a position.

    Attributes:
        boot: changes when the adapter restarts; earlier positions are then invalid.
        last: position of the newest sample; use it for the next request.
        dropped: requested samples that are no longer in memory.
    """

    boot: str
    last: int
    dropped: int = 0
    samples: tuple[RequestSample, ...] = ()
    feedback: tuple[Feedback, ...] = ()
