"""Who calls, and what they may ask."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from enginehouse.api.routing import ModelName

from enginehouse.errors import ForbiddenError

#: The tenant, named by a trusted caller where keys are off.
TENANT_HEADER = "x-enginehouse-tenant"


class Role(StrEnum):
    """What a key allows."""

    INFERENCE = "inference"
    READ = "read"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls.

    Attributes:
        key_id: the public part of the key; None where keys are off.
        models: ``model[@version][:adapter]`` that the caller may ask; None is all.
    """

    tenant: str = "default"
    key_id: str | None = None
    roles: frozenset[Role] = frozenset(Role)
    models: frozenset[str] | None = None

    def may_ask(self, name: str) -> bool:
        """Whether the caller may ask for a model.

        An entry of `models` covers whatever it leaves out: ``smollm2`` covers all versions and
        adapters. ``smollm2@8`` does not cover ``smollm2``, which another version may answer.
        """
        return self.models is None or any(_covers(entry, name) for entry in self.models)

    def check_model(self, name: str) -> None:
        """Do nothing if the caller may ask for a model.

        Raises:
            ForbiddenError: naming the models that the caller may ask.
        """
        if self.models is not None and not self.may_ask(name):
            raise ForbiddenError(
                f"this key may not ask for the model {name[:100]!r}: it has "
                f"{', '.join(sorted(self.models))}",
                field="model",
            )


def _covers(entry: str, name: str) -> bool:
    given, asked = ModelName.parse(entry), ModelName.parse(name)
    return (
        given.model == asked.model
        and given.version in {None, asked.version}
        and given.adapter in {None, asked.adapter}
    )
