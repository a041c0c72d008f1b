"""The one error of this package."""

from __future__ import annotations


class SchemaRefusedError(Exception):
    """A schema or pattern is invalid, or no grammar here can enforce it.

    The message names the location as a JSON Pointer (RFC 6901), or the position in a pattern.
    """
