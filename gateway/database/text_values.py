"""Texts as every database can store them.

PostgreSQL stores no NUL character, and no driver encodes half of a surrogate pair. Both become
U+FFFD, the replacement character, on the way into any database: a ledger's record must not be
lost for such a character, and SQLite and PostgreSQL must find the same rows.
"""

from __future__ import annotations

import re
from typing import Any

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def storable(parameters: Any) -> Any:
    """A statement's parameters, in the shape in which they came: values, rows or lists of rows."""
    if isinstance(parameters, str):
        return _UNSTORABLE.sub(_REPLACEMENT, parameters)
    if isinstance(parameters, dict):
        return {name: storable(value) for name, value in parameters.items()}
    if isinstance(parameters, (tuple, list)):
        return type(parameters)(storable(value) for value in parameters)
    return parameters
