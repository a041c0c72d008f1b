"""The error that a client gets for an unhandled exception."""

from __future__ import annotations

import logging

from enginehouse.errors import ServingError

_log = logging.getLogger(__name__)


def unforeseen(error: Exception) -> ServingError:
    """Log an unhandled exception and return an error for the client without its traceback.

    Triton would send an exception that leaves `execute` to the client with its traceback, and fail
    every other request of the same batch.
    """
    _log.error("a request failed", exc_info=error)
    return ServingError("the model failed on this request; Triton's log has the details")
