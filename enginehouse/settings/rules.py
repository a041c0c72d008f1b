"""What a variable takes: one class for each kind of value, read from the text of an environment.

A rule stands in a field's annotation, as in ``Annotated[int, Whole(1, 64)]``. It reads text,
checks bounds of text and of Python values alike, and says in `takes` what is accepted; errors and
the reference of settings both show that sentence.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from enginehouse.origins import origin_problem, split_origins
from enginehouse.urls import shown, url_problem

# ASCII alone: `int` and `float` read digits of any script, "1_000" and " 5 " too.
_WHOLE = re.compile(r"-?[0-9]+")
_DECIMAL = re.compile(r"-?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
# Python refuses to read longer integers from text, with a sentence of its own.
_MOST_DIGITS = 18
_HOST = re.compile(r"[0-9A-Za-z]([0-9A-Za-z._-]*[0-9A-Za-z])?")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[0-9A-Za-z]+)?")
_VISIBLE = re.compile(r"[!-~]+")


class UnusableValueError(ValueError):
    """A value that a rule refuses.

    Attributes:
        way_out: what to write instead.
        shown: how the value is shown; None shows it as it is.
    """

    def __init__(self, way_out: str, shown: str | None = None) -> None:
        super().__init__(way_out)
        self.way_out = way_out
        self.shown = shown


class Rule(ABC):
    """Reads a value; None is always let through, for fields that may be unset."""

    @property
    @abstractmethod
    def takes(self) -> str:
        """What is accepted, to stand behind "give"."""

    @abstractmethod
    def read(self, value: Any) -> Any:
        """The value, parsed if it is text.

        Raises:
            UnusableValueError: if it is not accepted.
        """

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Called by pydantic: the rule first, then the type's own schema."""
        return core_schema.no_info_before_validator_function(self._read, handler(source))

    def _read(self, value: Any) -> Any:
        return None if value is None else self.read(value)

    def _refused(self) -> UnusableValueError:
        return UnusableValueError(f"give {self.takes}")


@dataclass(frozen=True, slots=True)
class Whole(Rule):
    """An integer in decimal digits, from `least` to `most`; `what` is a phrase with both in it."""

    least: int
    most: int
    what: str = "a whole number"

    @property
    def takes(self) -> str:
        """See `Rule.takes`."""
        return f"{self.what} from {self.least} to {self.most}"

    def read(self, value: Any) -> Any:
        """See `Rule.read`."""
        if isinstance(value, str):
            if not _WHOLE.fullmatch(value) or len(value) > _MOST_DIGITS:
                raise self._refused()
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._refused()
        if not self.least <= value <= self.most:
            raise self._refused()
        return value


@dataclass(frozen=True, slots=True)
class Number(Rule):
    """A decimal number from `least` to `most`, both finite; `above` leaves `least` itself out."""

    least: float
    most: float
    what: str = "a number"
    above: bool = False

    @property
    def takes(self) -> str:
        """See `Rule.takes`."""
        lower = f"above {self.least:g} and at most" if self.above else f"from {self.least:g} to"
        return f"{self.what} {lower} {self.most:.15g}"

    def read(self, value: Any) -> Any:
        """See `Rule.read`."""
        if isinstance(value, str):
            if not _DECIMAL.fullmatch(value):
                raise self._refused()
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self._refused()
        if not self.least <= value <= self.most or (self.above and value == self.least):
            raise self._refused()
        return float(value)


@dataclass(frozen=True, slots=True)
class Switch(Rule):
    """``true`` or ``false``."""

    @property
    def takes(self) -> str:
        """See `Rule.takes`."""
        return "true or false"

    def read(self, value: Any) -> Any:
        """See `Rule.read`."""
        if isinstance(value, str):
            if value not in {"true", "false"}:
                raise self._refused()
            return value == "true"
        if not isinstance(value, bool):
            raise self._refused()
        return value


@dataclass(frozen=True, slots=True)
class Phrase(Rule):
    """One phrase, which stands for true; without it the setting is false."""

    words: str

    @property
    def takes(self) -> str:
        """See `Rule.takes`."""
        return f"{self.words}, or nothing"

    def read(self, value: Any) -> Any:
        """See `Rule.read`."""
        if isinstance(value, str):
            if value != self.words:
                raise self._refused()
            return True
        return value


@dataclass(frozen=True, slots=True)
class OneOf(Rule):
    """One of some words."""

    words: tuple[str, ...]

    @property
    def takes(self) -> str:
        """See `Rule.takes`."""
        return " or ".join(filter(None, (", ".join(self.words[:-1]), self.words[-1])))

    def read(self, value: Any) -> Any:
        """See `Rule.read`."""
        if value not in self.words:
            raise self._refused()
        return value


@dataclass(frozen=True, slots=True)
class OneLine(Rule):
    """Text of one line; what it has to be is checked where it is used."""

    what: str

    @property
    def takes(self) -> str:
        """See `Rule.takes`."""
        return self.what

    def read(self, value: Any) -> Any:
        """See `Rule.read`."""
        if isinstance(value, str) and any(mark in value for mark in "\0\r\n"):
            raise self._refused()
        return value


@dataclass(frozen=True, slots=True)
class Token(Rule):
    """A secret that goes into an HTTP header: visible ASCII, no spaces."""

    what: str

    @property
    def takes(self) -> str:
        """See `Rule.takes`."""
        return f"{self.what}: visible ASCII characters, with no space or line break"

    def read(self, value: Any) -> Any:
        """See `Rule.read`."""
        if isinstance(value, str) and not _VISIBLE.fullmatch(value):
            raise self._refused()
        return value


@dataclass(frozen=True, slots=True)
class Host(Rule):
    """An address to listen on, without a port."""

    @property
    def takes(self) -> str:
        """See `Rule.takes`."""
        return "an IP address or a host name, without scheme and port"

    def read(self, value: Any) -> Any:
        """See `Rule.read`."""
        if isinstance(value, str) and not (_HOST.fullmatch(value) or _IPV6.fullmatch(value)):
            raise self._refused()
        return value


@dataclass(frozen=True, slots=True)
class File(Rule):
    """A path; ``~`` is the home directory, a relative one starts at the working directory."""

    what: str

    @property
    def takes(self) -> str:
        """See `Rule.takes`."""
        return f"the path of {self.what}"

    def read(self, value: Any) -> Any:
        """See `Rule.read`."""
        if not isinstance(value, str):
            return value
        if "\0" in value:
            raise self._refused()
        try:
            return Path(value).expanduser()
        except RuntimeError:
            raise UnusableValueError(
                f"give {self.takes}: no home directory is known for {value.partition('/')[0]!r}"
            ) from None


@dataclass(frozen=True, slots=True)
class Url(Rule):
    """A URL; its password is never shown."""

    example: str
    schemes: tuple[str, ...] = ()

    @property
    def takes(self) -> str:
        """See `Rule.takes`."""
        return f"a URL, for example {self.example}"

    def read(self, value: Any) -> Any:
        """See `Rule.read`."""
        if isinstance(value, str):
            self._check(value)
        return value

    def _check(self, url: str) -> None:
        problem = url_problem(url)
        if problem is not None:
            raise UnusableValueError(problem, shown(url))
        try:
            parts = urlsplit(url)
            well_formed = "://" in url and (parts.port or 0) >= 0
        except ValueError:
            well_formed = False
        if not well_formed or (
            self.schemes and (parts.scheme not in self.schemes or not parts.hostname)
        ):
            raise UnusableValueError(f"give {self.takes}", repr(shown(url)))


@dataclass(frozen=True, slots=True)
class TrackingUri(Url):
    """Where MLflow's registry is: a URL, or a word of MLflow's own such as ``databricks``."""

    def _check(self, url: str) -> None:
        problem = url_problem(url)
        if problem is not None:
            raise UnusableValueError(problem, shown(url))


@dataclass(frozen=True, slots=True)
class Urls(Rule):
    """HTTP base URLs with commas between them; a slash at the end is dropped."""

    example: str

    @property
    def takes(self) -> str:
        """See `Rule.takes`."""
        return f"http(s) URLs with commas between them, for example {self.example}"

    def read(self, value: Any) -> Any:
        """See `Rule.read`."""
        if not isinstance(value, str):
            return value
        each = Url("http://127.0.0.1:8080", ("http", "https"))
        urls = tuple(url.strip().rstrip("/") for url in value.split(",") if url.strip())
        return tuple(each.read(url) for url in urls)


@dataclass(frozen=True, slots=True)
class Origins(Rule):
    """Origins of web pages with commas between them."""

    @property
    def takes(self) -> str:
        """See `Rule.takes`."""
        return "origins (scheme://host[:port]) with commas between them, or *"

    def read(self, value: Any) -> Any:
        """See `Rule.read`."""
        if not isinstance(value, str):
            return value
        origins = split_origins(value)
        for origin in origins:
            problem = origin_problem(origin, origins)
            if problem is not None:
                raise UnusableValueError(problem, repr(origin))
        return origins
