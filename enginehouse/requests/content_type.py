"""Checks the declared type and encoding of a request's body."""

from __future__ import annotations

from collections.abc import Mapping
from email.message import Message

#: Maximum length of a header's value in an error message.
_MOST_SHOWN = 80


def content_type_problem(headers: Mapping[str, str], wanted: str) -> str | None:
    """Why a body cannot be read, as the message of a 415; None if it can be.

    Args:
        headers: of the request, names in lower case.
        wanted: ``type/subtype``; ``application/json`` also permits ``application/*+json``.
    """
    coding = headers.get("content-encoding", "identity")
    if coding.strip().lower() not in {"", "identity"}:
        return f"Content-Encoding is {coding[:_MOST_SHOWN]!r}: send the body as it is"
    given = headers.get("content-type", "")
    if not given.strip():
        return f"Content-Type is missing: send 'Content-Type: {wanted}'"
    message = Message()
    message["content-type"] = given
    found = message.get_content_type()
    json = found.startswith("application/") and found.endswith("+json")
    if found == wanted or (json and wanted == "application/json"):
        return None
    return f"Content-Type is {given[:_MOST_SHOWN]!r}: send 'Content-Type: {wanted}'"
