"""URLs in messages: the address is kept, credentials are hidden.

Users paste passwords unescaped, so a password may contain ``@``, ``/``, ``?`` or ``#``, which a
valid URL has only as ``%40`` and the like. Everything from the scheme to the last ``@`` is treated
as user and password. This may hide too much if a path has an ``@``, but never too little.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from enginehouse.errors import SettingsError

_HIDDEN = "***"
#: A scheme with its slashes, which an authority may follow; a third slash starts a path.
_START = re.compile(r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]*://(?!/)")
#: A query parameter whose name suggests a secret value.
_SECRET_PARAMETER = re.compile(
    r"([?&;][^=&;?\s]*(?:pass|pwd|secret|token|key|credential)[^=&;?\s]*=)[^&;\s]+", re.IGNORECASE
)
#: Shorter parts of a password occur in ordinary text and are not hidden.
_SHORTEST_PIECE = 4


def shown(url: str) -> str:
    """A URL without user, password and secret parameters; accepts any text."""
    start = _START.match(url)
    _, at, rest = url[start.end() :].rpartition("@") if start else ("", "", "")
    text = f"{url[: start.end()]}{_HIDDEN}@{rest}" if start and at else url
    return _SECRET_PARAMETER.sub(rf"\1{_HIDDEN}", text)


def redacted(text: str, *urls: str | None) -> str:
    """Hide the credentials of URLs in a message of any origin.

    Args:
        urls: URLs that the message may contain, as a whole or in part.
    """
    for url in urls:
        if url:
            text = text.replace(url, shown(url))
            for piece in _secrets(url):
                text = text.replace(piece, _HIDDEN)
    words = re.split(r"(\s+)", text)
    return "".join(_redacted_word(word) for word in words)


def check_url(variable: str, url: str | None) -> str | None:
    """Return `url` if its user and password are properly escaped.

    Raises:
        SettingsError: if it has a `url_problem`.
    """
    problem = url_problem(url or "")
    if problem is not None:
        raise SettingsError(f"{variable}={shown(url or '')}: {problem}")
    return url


def url_problem(url: str) -> str | None:
    """What is wrong with user and password of a URL, and how to write them; None if valid.

    They must not contain characters that a URL cannot hold: parsers would split the URL at
    different places, and show a part of the password in their errors.
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
    """The password of a URL, escaped and unescaped, and its parts."""
    start = _START.match(url)
    if start is None or "@" not in url:
        return []
    userinfo = url[start.end() :].rpartition("@")[0]
    _, _, password = userinfo.partition(":")
    pieces = {password, unquote(password), *re.split(r"[@/?#:\s]", password)}
    return sorted((p for p in pieces if len(p) >= _SHORTEST_PIECE), key=len, reverse=True)
