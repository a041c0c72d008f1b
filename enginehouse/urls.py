"""URLs in messages: with the address that helps, without the credentials that must not be shown.

People paste passwords as they are, so a password may hold ``@``, ``/``, ``?`` or ``#``, which a
correct URL has only as ``%40`` and the like. Everything from the scheme to the last ``@`` is taken
for user and password: too much is hidden where a path has an ``@``, never too little.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from enginehouse.errors import SettingsError

_HIDDEN = "***"
#: A scheme with its slashes, behind which an authority may stand; a third slash is a path's.
_START = re.compile(r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]*://(?!/)")
#: A parameter of the query whose name says that its value is secret.
_SECRET_PARAMETER = re.compile(
    r"([?&;][^=&;?\s]*(?:pass|pwd|secret|token|key|credential)[^=&;?\s]*=)[^&;\s]+", re.IGNORECASE
)
#: Shorter pieces of a password occur in any text.
_SHORTEST_PIECE = 4


def shown(url: str) -> str:
    """One whole URL, whatever is in it, without user, password and secret parameters."""
    start = _START.match(url)
    _, at, rest = url[start.end() :].rpartition("@") if start else ("", "", "")
    text = f"{url[: start.end()]}{_HIDDEN}@{rest}" if start and at else url
    return _SECRET_PARAMETER.sub(rf"\1{_HIDDEN}", text)


def redacted(text: str, *urls: str | None) -> str:
    """A message of whatever origin, without the credentials of the URLs in it.

    Args:
        urls: those that may be repeated in the message, whole or in part.
    """
    for url in urls:
        if url:
            text = text.replace(url, shown(url))
            for piece in _secrets(url):
                text = text.replace(piece, _HIDDEN)
    words = re.split(r"(\s+)", text)
    return "".join(_redacted_word(word) for word in words)


def check_url(variable: str, url: str | None) -> str | None:
    """The same URL.

    Raises:
        SettingsError: if it has a `url_problem`.
    """
    problem = url_problem(url or "")
    if problem is not None:
        raise SettingsError(f"{variable}={shown(url or '')}: {problem}")
    return url


def url_problem(url: str) -> str | None:
    """What is wrong with the user and password of a URL, and how to write them; None if nothing.

    They must not have characters that a URL cannot hold: each reader would cut the URL at another
    place, and show a part of the password in its error.
    """
    start = _START.match(url)
    if start is None or "@" not in url:
        return None
    authority = re.split(r"[/?#]", url[start.end() :], maxsplit=1)[0]
    try:
        readable = urlsplit(url).port is None or "@" in authority
    except ValueError:
        readable = False
    if readable and authority.count("@") <= 1 and not re.search(r"\s", url):
        return None
    return (
        "user or password have a character that a URL cannot hold: "
        "write @ as %40, / as %2F, : as %3A, ? as %3F, # as %23, a space as %20"
    )


def _redacted_word(word: str) -> str:
    start = _START.search(word)
    if start is None:
        return _SECRET_PARAMETER.sub(rf"\1{_HIDDEN}", word) if "://" in word else word
    return word[: start.start()] + shown(word[start.start() :])


def _secrets(url: str) -> list[str]:
    """The password of a URL, as it is written and as it is meant, and the parts of it."""
    start = _START.match(url)
    if start is None or "@" not in url:
        return []
    userinfo = url[start.end() :].rpartition("@")[0]
    _, _, password = userinfo.partition(":")
    pieces = {password, unquote(password), *re.split(r"[@/?#:\s]", password)}
    return sorted((p for p in pieces if len(p) >= _SHORTEST_PIECE), key=len, reverse=True)
