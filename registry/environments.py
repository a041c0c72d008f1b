"""Environments: `dev`, `staging` and `production` in one registry.

The rule, and its only place: the model that is served as ``smollm2`` in the environment
``staging`` is registered as ``staging.smollm2``; without an environment it is registered as it
is served. No served name has a dot, so a registered name reads in one way only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from enginehouse.errors import NameRefusedError, SettingsError
from enginehouse.names import check_model_name

#: How a command line says "the models without a prefix".
NO_ENVIRONMENT = "none"
#: Registered models of our own, which are no models to serve, begin with this word.
_OURS = "enginehouse"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,29}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Environment:
    """Maps served names to registered ones and back; `prefix` None is no environment."""

    prefix: str | None = None

    def __post_init__(self) -> None:
        if self.prefix is None:
            return
        if self.prefix in {_OURS, NO_ENVIRONMENT} or not _NAME.fullmatch(self.prefix):
            raise SettingsError(
                f"ENGINEHOUSE_ENVIRONMENT={self.prefix!r}: write 1 to 31 characters of a-z, 0-9 "
                f"and '-', for example 'staging'; {_OURS!r} and {NO_ENVIRONMENT!r} are taken"
            )

    @classmethod
    def named(cls, text: str | None) -> Environment:
        """The environment that a command line names; `NO_ENVIRONMENT` is the one without.

        Raises:
            SettingsError: if it cannot be a prefix.
        """
        return cls(None if text == NO_ENVIRONMENT else text)

    def __str__(self) -> str:
        return self.prefix or NO_ENVIRONMENT

    def registered(self, served: str) -> str:
        """Name under which MLflow has the model."""
        return served if self.prefix is None else f"{self.prefix}.{served}"

    def served(self, registered: str) -> str | None:
        """Name under which clients ask for it; None if it is not of this environment."""
        name = registered
        if self.prefix is not None:
            prefix, dot, name = registered.partition(".")
            if not dot or prefix != self.prefix:
                return None
        try:
            return check_model_name(name)
        except NameRefusedError:
            return None
