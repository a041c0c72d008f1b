"""The one error of this package."""

from __future__ import annotations


class SchemaRefusedError(Exception):
    """A schema or a pattern that is wrong, or that no grammar of ours can keep.

    The message names the place as a JSON Pointer (RFC 6901), or the position in a pattern.
    """
