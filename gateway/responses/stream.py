"""Server-sent events of a response: each is named by its type, and no `[DONE]` follows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from enginehouse.api.streaming import EventStream


def sse(event: Mapping[str, Any]) -> bytes:
    """Encode one named server-sent event."""
    return b"event: %s\ndata: %s\n\n" % (event["type"].encode(), orjson.dumps(event))


class ResponseStream(EventStream):
    """Server-sent events; an error in the middle of the stream is sent as an event."""

    done = b""
