"""Which role each route asks for: one table, closed where it says nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass

from enginehouse.api.call import Role


@dataclass(frozen=True, slots=True)
class Door:
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
_INFERENCE = Door(frozenset({Role.INFERENCE}))
#: Methods and paths → what they ask for; the first that matches.
_DOORS: tuple[tuple[re.Pattern[str], re.Pattern[str], Door], ...] = tuple(
    (re.compile(methods), re.compile(path), door)
    for methods, path, door in (
        (_GET, r"/health(/(live|ready))?", Door()),
        # Behind the admin token by its own check.
        (_ANY, r"/internal/.*", Door()),
        (_ANY, r"/admin(/.*)?", Door(frozenset({Role.ADMIN}), token=True)),
        (_GET, r"/metrics", Door(frozenset({Role.READ, Role.ADMIN}), from_here=True)),
        (_GET, r"/openapi\.json", Door(frozenset(Role))),
        (_GET, r"/v1/models(/.*)?", Door(frozenset(Role))),
        (_GET, r"/v1/usage(/.*)?", Door(frozenset({Role.READ, Role.ADMIN}))),
    )
)


def door_of(method: str, path: str) -> Door:
    """What a route asks for; inference, unless the table knows better."""
    for methods, pattern, door in _DOORS:
        if pattern.fullmatch(path) and methods.fullmatch(method):
            return door
    return _INFERENCE
