"""Who answers a call: written down where it becomes known."""

from __future__ import annotations

from dataclasses import replace

from enginehouse.api.call import Answered, Call, ServedBy, TextCall
from enginehouse.api.errors import VERSION_HEADER
from enginehouse.api.generation import Usage
from enginehouse.api.revision import Served
from enginehouse.api.routing import Route

from enginehouse.traffic.treatments import Treatment


def take(call: TextCall, route: Route) -> None:
    """Have a call answered by a route."""
    _take(call, route.revision, route.revision.version, route.treatment)


def take_vectors(
    call: Call, served: Served, version: int | None = None, used: Usage | None = None
) -> None:
    """Have a call answered by an embedding model.

    Args:
        version: that computed the vectors, which Triton chooses if the caller has pinned none;
            None before they are there.
        used: tokens of the texts.
    """
    _take(call, served, served.version if version is None else version)
    if used is not None and call.answered is not None:
        call.answered.used = used


def _take(call: Call, served: Served, version: int, treatment: Treatment | None = None) -> None:
    served_by = ServedBy(served.target.model, version, served.fingerprint)
    call.answered = Answered(served_by, served, treatment)
    call.response_headers[VERSION_HEADER] = str(version)


def name_engine(call: Call) -> None:
    """Have `system_fingerprint` name the engine that answers: what decides its numbers."""
    answered = call.answered
    if answered is None or answered.choices is None or answered.served_by.fingerprint is None:
        return
    engine = next((one.identity for one in answered.choices.generations if one.identity), "")
    if engine:
        fingerprint = f"{answered.served_by.fingerprint}-{engine}"
        answered.served_by = replace(answered.served_by, fingerprint=fingerprint)
