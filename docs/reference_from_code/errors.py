"""Every error of the tree with what callers of the HTTP API see of it."""

from __future__ import annotations

from collections.abc import Iterator

from docs.reference_from_code.markdown import code, sentence, table
from enginehouse import errors
from enginehouse.http_errors import status_of

_HEAD = """# Errors

Made from `enginehouse/errors.py`, the tree of all errors, and `enginehouse/http_errors.py`, the
table from an error to a status. A body is `{"error": {"message", "type", "param", "code"}}`:
`code` tells causes apart, `param` names the caller's own field. Responses of 429 and 503 have a
`Retry-After`.

## Of a request

"""
_SECOND = """## Of the operator's commands

These reach a caller of the HTTP API only where a request needs the registry or the database;
the commands print them as one sentence and end with the exit status 1.

"""


def page() -> str:
    """The page of all errors."""
    requests = [each for each in _tree(errors.EnginehouseError) if _serving(each)]
    others = [each for each in _tree(errors.EnginehouseError) if not _serving(each)]
    first = table(["code", "status", "type", "when", "class"], map(_row, requests))
    second = table(
        ["class", "status, if a request meets it", "when"],
        ([code(each.__name__), _status(each)[0], sentence(each.__doc__ or "")] for each in others),
    )
    return f"{_HEAD}{first}\n{_SECOND}{second}"


def _serving(error: type[errors.EnginehouseError]) -> bool:
    return issubclass(error, errors.ServingError)


def _tree(root: type[errors.EnginehouseError]) -> Iterator[type[errors.EnginehouseError]]:
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from _tree(child)


def _status(error: type[errors.EnginehouseError]) -> tuple[str, str]:
    status, kind = status_of(error.__new__(error))
    return str(status.value), kind


def _row(error: type[errors.EnginehouseError]) -> list[str]:
    status, kind = _status(error)
    return [
        code(getattr(error, "code", "")),
        status,
        code(kind),
        sentence(error.__doc__ or ""),
        code(error.__name__),
    ]
