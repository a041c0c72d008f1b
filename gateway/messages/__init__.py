"""Anthropic's Messages API, as a translation onto chat."""

from __future__ import annotations

from enginehouse.api.registration import Registration, Surface
from enginehouse.gateway.messages import routes
from enginehouse.gateway.messages.errors import MessagesErrors


def _surface(surface: Surface) -> None:
    surface.routers.append(routes.router)
    surface.middleware.append((MessagesErrors, {}))


# Behind `access`: its middleware stands outside, and words the guard's refusals too.
registration = Registration("messages", 140, surface=_surface)
