"""The role that each route requires. Routes that are not in the table require inference."""

from __future__ import annotations

import re
from dataclasses import dataclass

from enginehouse.api.caller import Role


@dataclass(frozen=True, slots=True)
class AccessRule:
    """What a route requires of its callers.

    Attributes:
        roles: any one of these roles is enough. If empty, the route needs no key.
        from_here: callers on this host need no key.
        token: the admin token is accepted too. The route always requires authentication, even
            if API keys are turned off.
    """

    roles: frozenset[Role] = frozenset()
    from_here: bool = False
    token: bool = False


_GET = r"GET|HEAD"
_ANY = r".*"
_INFERENCE = AccessRule(frozenset({Role.INFERENCE}))
#: Methods and paths → their rule; the first match applies.
_RULES: tuple[tuple[re.Pattern[str], re.Pattern[str], AccessRule], ...] = tuple(
    (re.compile(methods), re.compile(path), rule)
    for methods, path, rule in (
        (_GET, r"/health(/(live|ready))?", AccessRule()),
        # These routes check the admin token themselves.
        (_ANY, r"/internal/.*", AccessRule()),
        (_ANY, r"/admin(/.*)?", AccessRule(frozenset({Role.ADMIN}), token=True)),
        (_GET, r"/metrics", AccessRule(frozenset({Role.READ, Role.ADMIN}), from_here=True)),
        (_GET, r"/openapi\.json", AccessRule(frozenset(Role))),
        (_GET, r"/v1/models(/.*)?", AccessRule(frozenset(Role))),
        (_GET, r"/v1/usage(/.*)?", AccessRule(frozenset({Role.READ, Role.ADMIN}))),
    )
)


def rule_of(method: str, path: str) -> AccessRule:
    """The rule of a route; inference if no row of the table matches."""
    for methods, pattern, rule in _RULES:
        if pattern.fullmatch(path) and methods.fullmatch(method):
            return rule
    return _INFERENCE
