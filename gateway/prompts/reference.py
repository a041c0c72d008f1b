"""References to prompts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from enginehouse.errors import InvalidRequestError

_SCHEME = "prompts:/"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,250}")
_FIELD = "prompt"


@dataclass(frozen=True, slots=True)
class RegistryPromptReference:
    """A prompt's name and its version: a number, or an alias of one."""

    name: str
    place: str

    @property
    def numbered(self) -> bool:
        """Whether it always refers to the same text."""
        return self.place.isdecimal()

    @property
    def uri(self) -> str:
        """The reference in MLflow's form."""
        return f"{_SCHEME}{self.name}{'/' if self.numbered else '@'}{self.place}"

    @classmethod
    def parse(cls, text: str, version: str | None, default_alias: str) -> Self:
        """Parse ``NAME``, ``NAME@ALIAS``, ``NAME/3`` or the same with ``prompts:/`` in front.

        Args:
            version: a number or an alias, if the text contains none.
            default_alias: alias to use if neither contains one.

        Raises:
            InvalidRequestError: naming the accepted forms.
        """
        rest = text.removeprefix(_SCHEME)
        name, mark, place = rest.partition("@" if "@" in rest else "/")
        if not mark:
            place = default_alias if version is None else version
        elif version is not None and version != place:
            raise InvalidRequestError(
                f"prompt.id is {text!r} and prompt.version {version!r}: name one of the two",
                field=_FIELD,
            )
        if not (_NAME.fullmatch(name) and _NAME.fullmatch(place)):
            raise InvalidRequestError(
                f"prompt.id is {text!r} and prompt.version {version!r}: give NAME, NAME@ALIAS or "
                "NAME/NUMBER of a prompt in MLflow's registry",
                field=_FIELD,
            )
        return cls(name, place)
