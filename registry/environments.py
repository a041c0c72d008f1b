"""Environments: for example `dev`, `staging` and `production` in one registry.

This module alone defines the mapping: the model served as ``smollm2`` in the environment
``staging`` is registered as ``staging.smollm2``; without an environment it is registered under its
served name. Served names have no dot, so the mapping is unambiguous.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from enginehouse.errors import NameRefusedError, SettingsError
from enginehouse.names import check_model_name

#: Command line value for models without an environment's prefix.
NO_ENVIRONMENT = "none"
#: Prefix of registered models that are for internal use and not served.
_OURS = "enginehouse"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,29}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Environment:
    """Maps served names to registered names and back; `prefix` None means no environment."""

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
        """The environment that a command line names; `NO_ENVIRONMENT` selects none.

        Raises:
            SettingsError: if the text cannot be a prefix.
        """
        return cls(None if text == NO_ENVIRONMENT else text)

    def __str__(self) -> str:
        return self.prefix or NO_ENVIRONMENT

    def registered(self, served: str) -> str:
        """Name of the model in MLflow."""
        return served if self.prefix is None else f"{self.prefix}.{served}"

    def served(self, registered: str) -> str | None:
        """Name that clients use; None if the model is not of this environment."""
        name = registered
        if self.prefix is not None:
            prefix, dot, name = registered.partition(".")
            if not dot or prefix != self.prefix:
                return None
        try:
            return check_model_name(name)
        except NameRefusedError:
            return None
