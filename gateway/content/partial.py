"""From a regular expression to one that finds where a match may still be open.

While text arrives, the end of what is there may be the beginning of a match, or of a longer one.
`regex` says with ``partial=True`` whether an attempt has reached the end of the text. A match that
is complete would hide that it may become longer: `opening` adds a character that never comes, so
that no attempt succeeds and each is followed to its end.
"""

from __future__ import annotations

import re

import regex

#: No text has it: a lone surrogate becomes U+FFFD where a request or an answer is decoded.
_NEVER = "\ud800"
#: `regex` takes the end of the text for a place like any other where it decides these; with more
#: text they may be decided otherwise. `$` also stands before a line feed at the end.
_PLACES = frozenset("bBmMZ")
_FLAGS = {
    re.IGNORECASE: regex.IGNORECASE,
    re.MULTILINE: regex.MULTILINE,
    re.DOTALL: regex.DOTALL,
    re.VERBOSE: regex.VERBOSE,
    re.ASCII: regex.ASCII,
}
_ITSELF = "a pattern that contains itself cannot be followed"
_REFUSED = {"(?R": _ITSELF, "(?0": _ITSELF, _NEVER: "a lone surrogate is in no text"}
#: An escape of two characters, a whole set, or one character. A set may begin with a bracket that
#: belongs to it.
_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.", re.DOTALL)


def as_regex(pattern: re.Pattern[str]) -> regex.Pattern[str]:
    """The same pattern, compiled by `regex`.

    Raises:
        regex.error: if `regex` reads it otherwise than `re`, and cannot.
    """
    flags = regex.VERSION0
    for ours, theirs in _FLAGS.items():
        flags |= theirs if pattern.flags & ours else 0
    return regex.compile(pattern.pattern, flags)


def opening(pattern: regex.Pattern[str]) -> regex.Pattern[str]:
    """A pattern to be searched with ``partial=True``.

    A partial match begins where a match of `pattern` may begin, or become longer, once there is
    more text.

    Raises:
        ValueError: if the pattern contains itself.
    """
    for text, why in _REFUSED.items():
        if text in pattern.pattern:
            raise ValueError(why)
    written = _TOKEN.sub(lambda token: _open_at_the_end(token[0]), pattern.pattern)
    # A comment at the end would take the bracket with it.
    line = "\n" if pattern.flags & regex.VERBOSE else ""
    return regex.compile(f"(?:{written}{line}){_NEVER}", pattern.flags)


def _open_at_the_end(token: str) -> str:
    """What is undecided at the end of the text asks for one more character first."""
    if token == "$":  # noqa: S105 - not a password
        return f"(?:(?=\\n?{_NEVER})|$)"
    if token[0] == "\\" and token[1:] in _PLACES:
        return f"(?:(?={_NEVER})|{token})"
    return token
