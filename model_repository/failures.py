"""What a client is told of an error that nobody foresaw."""

from __future__ import annotations

import logging

from enginehouse.errors import ServingError

_log = logging.getLogger(__name__)


def unforeseen(error: Exception) -> ServingError:
    """An error for the client, without the traceback and its paths, which go to Triton's log.

    An exception that leaves `execute` would be given to the client by Triton as it is, and fail
    every other request of the same batch.
    """
    _log.error("a request failed", exc_info=error)
    return ServingError("the model failed on this request; Triton's log has the details")
