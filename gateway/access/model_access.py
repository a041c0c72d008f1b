"""The stage that restricts a key to its models."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from dataclasses import dataclass

from enginehouse.api.call import Call, Proceed
from enginehouse.api.generation import Piece
from enginehouse.api.routing import ModelName

from enginehouse.errors import ForbiddenError


def allows(entry: str, name: str) -> bool:
    """Whether an entry of a key's models covers the requested name.

    Both have the form ``model[@version][:adapter]``. A part that the entry leaves out matches
    anything: ``smollm2`` covers all its versions and adapters, while ``smollm2@8`` does not cover
    ``smollm2``, which another version may answer.
    """
    given, asked = ModelName.parse(entry), ModelName.parse(name)
    return (
        given.model == asked.model
        and given.version in {None, asked.version}
        and given.adapter in {None, asked.adapter}
    )


def check_model(models: Collection[str] | None, name: str) -> None:
    """Check that a caller may use a model.

    Args:
        models: the caller's models; None means all.

    Raises:
        ForbiddenError: naming the models that it may use.
    """
    if models is None or any(allows(entry, name) for entry in models):
        return
    raise ForbiddenError(
        f"this key may not ask for the model {name[:100]!r}: it has {', '.join(sorted(models))}",
        field="model",
    )


@dataclass(frozen=True, slots=True)
class ModelAccess:
    """Rejects models that the caller's key does not allow."""

    name: str = "model_access"

    async def __call__(self, call: Call, proceed: Proceed) -> AsyncGenerator[Piece, None]:
        """See `Stage`."""
        check_model(call.caller.models, call.model)
        async with aclosing(proceed(call)) as pieces:
            async for piece in pieces:
                yield piece
