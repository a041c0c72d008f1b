"""Events of a response on the wire: each under its type's name, and no `[DONE]` at the end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from enginehouse.api.streaming import EventStream


def sse(event: Mapping[str, Any]) -> bytes:
    """One server-sent event with its name."""
    return b"event: %s\ndata: %s\n\n" % (event["type"].encode(), orjson.dumps(event))


class ResponseStream(EventStream):
    """Server-sent events; what goes wrong in the middle is one of them."""

    done = b""
