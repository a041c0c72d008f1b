"""Token ids of texts, and texts of token ids."""

from __future__ import annotations

from enginehouse.api.registration import Registration, Surface
from enginehouse.gateway.tokenize import routes


def _surface(surface: Surface) -> None:
    surface.routers.append(routes.router)


registration = Registration("tokenize", 130, surface=_surface)
