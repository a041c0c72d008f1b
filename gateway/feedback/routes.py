"""Route `POST /v1/feedback`."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Annotated, Any, Literal

from enginehouse.api.boundary import RequestModel
from enginehouse.api.json_route import JsonRoute
from enginehouse.api.openapi_types import error_responses
from enginehouse.api.refused import wrong
from enginehouse.api.services import service
from enginehouse.gateway.journal.journal import Journal
from enginehouse.gateway.observing import Observers
from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, Field, model_validator

from enginehouse.traffic import Feedback

router = APIRouter(route_class=JsonRoute)
_MOST_CHARACTERS = 8192
_THUMBS = {"up": 1, "down": -1}


class FeedbackRequest(RequestModel):
    """Feedback on a response."""

    response_id: str
    thumbs: Literal["up", "down"] | None = None
    score: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    comment: Annotated[str, Field(max_length=_MOST_CHARACTERS)] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> FeedbackRequest:
        if self.thumbs is None and self.score is None and self.comment is None:
            raise wrong("thumbs", "give at least one of thumbs, score and comment")
        return self


class FeedbackGiven(BaseModel):
    """The stored feedback, and the version that it belongs to."""

    object: Literal["feedback"]
    response_id: str
    version: int


@router.post(
    "/v1/feedback",
    response_model=None,
    responses={200: {"model": FeedbackGiven}, **error_responses()},
)
async def give_feedback(
    body: FeedbackRequest,
    observers: Annotated[Observers, service(Observers)],
    journal: Annotated[Journal, service(Journal)],
) -> dict[str, Any]:
    """Keep what a user thinks of a response, for the analysis of its version.

    Raises:
        HTTPException: 404 if the response is not in memory any more.
    """
    sample = observers.of_request(body.response_id)
    if sample is None:
        raise HTTPException(
            HTTPStatus.NOT_FOUND,
            f"no response {body.response_id!r} is remembered here: an adapter knows its own "
            "recent responses, by the id that they carry",
        )
    feedback = Feedback(
        at=time.time(),
        request_id=sample.request_id,
        model=sample.model,
        version=sample.version,
        rollout=sample.rollout,
        thumbs=None if body.thumbs is None else _THUMBS[body.thumbs],
        score=body.score,
        comment=body.comment,
        experiment=sample.experiment,
        arm=sample.arm,
    )
    await journal.append("feedback", feedback.model_dump_json())
    # What a user wrote stays in that one file.
    observers.keep(feedback.model_copy(update={"comment": None}))
    return {"object": "feedback", "response_id": sample.request_id, "version": sample.version}
