"""Text inputs of the tensor contract: bytes that have to be UTF-8."""

from __future__ import annotations

from typing import Any

from enginehouse.contract import ENSEMBLE_INPUT_ROUTES
from enginehouse.errors import InvalidRequestError


def text_of(value: Any, name: str) -> str:
    """Decode one value of a BYTES input.

    Args:
        value: bytes from Triton; a string is returned unchanged.
        name: name of the input.

    Raises:
        InvalidRequestError: names the input, if it is not UTF-8.
    """
    if not isinstance(value, bytes):
        return str(value)
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequestError(
            f"input {named(name)} is not UTF-8: byte {error.start} of {len(value)} is "
            f"0x{value[error.start]:02x}; send text in UTF-8",
            field=name,
        ) from None


def named(name: str) -> str:
    """An input's name, with the name that the ensemble's clients use."""
    for alias, (_, target) in ENSEMBLE_INPUT_ROUTES.items():
        if target == name and alias != name:
            return f"{name!r} ({alias!r} of the ensemble)"
    return repr(name)
