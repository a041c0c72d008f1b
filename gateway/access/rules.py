"""Which role each route asks for: one table, closed where it says nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass

from enginehouse.api.call import Role


@dataclass(frozen=True, slots=True)
class AccessRule:
    """What a route asks for.

    Attributes:
        roles: any one of them opens it; none: it is open to everybody.
        from_here: it is open to callers on this host.
        token: the admin token opens it, and nothing does without a check, even with keys off.
    """

    roles: frozenset[Role] = frozenset()
    from_here: bool = False
    token: bool = False


_GET = r"GET|HEAD"
_ANY = r".*"
_INFERENCE = AccessRule(frozenset({Role.INFERENCE}))
#: Methods and paths → what they ask for; the first that matches.
_RULES: tuple[tuple[re.Pattern[str], re.Pattern[str], AccessRule], ...] = tuple(
    (re.compile(methods), re.compile(path), rule)
    for methods, path, rule in (
        (_GET, r"/health(/(live|ready))?", AccessRule()),
        # Behind the admin token by its own check.
        (_ANY, r"/internal/.*", AccessRule()),
        (_ANY, r"/admin(/.*)?", AccessRule(frozenset({Role.ADMIN}), token=True)),
        (_GET, r"/metrics", AccessRule(frozenset({Role.READ, Role.ADMIN}), from_here=True)),
        (_GET, r"/openapi\.json", AccessRule(frozenset(Role))),
        (_GET, r"/v1/models(/.*)?", AccessRule(frozenset(Role))),
        (_GET, r"/v1/usage(/.*)?", AccessRule(frozenset({Role.READ, Role.ADMIN}))),
    )
)


def rule_of(method: str, path: str) -> AccessRule:
    """What a route asks for; inference, unless the table knows better."""
    for methods, pattern, rule in _RULES:
        if pattern.fullmatch(path) and methods.fullmatch(method):
            return rule
    return _INFERENCE
