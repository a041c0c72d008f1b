"""How a stage registers itself, and how registered stages are found.

A stage is a `Registration` under an entry point of the group ``enginehouse.stages``. An entry
point may also name a function that gives several: Enginehouse's own stages are found so, one for
each folder of the package `enginehouse.gateway`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from enginehouse.errors import SettingsError

# Every stage's folder imports this module, and the command line reads what some folders keep: the
# adapter and its web framework are loaded when a stage opens.
if TYPE_CHECKING:
    from enginehouse.api.directory import ModelDirectory
    from enginehouse.api.opened import OpenedStages
    from enginehouse.api.routing import Router
    from enginehouse.api.services import Services
    from enginehouse.client import AsyncFleetClient
    from fastapi import APIRouter, FastAPI
    from prometheus_client import CollectorRegistry

    from enginehouse.settings import Settings

GROUP = "enginehouse.stages"
#: The distribution whose entry points may be gone: the adapter runs without its gateway.
_OWN = "enginehouse"


class NoConfiguration(BaseModel):
    """Of a stage that has no section in the endpoint's file."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What a stage may use while it opens.

    Attributes:
        configured: the stage's own section of the endpoint's file.
        stages: where it puts itself.
        services: what stages opened before it offer.
        registry: of the adapter's metrics.
    """

    app: FastAPI
    settings: Settings
    configured: Any
    stages: OpenedStages
    services: Services
    registry: CollectorRegistry
    client: AsyncFleetClient
    directory: ModelDirectory
    router: Router


@dataclass(slots=True)
class Surface:
    """What a stage adds to the HTTP application before it starts.

    Attributes:
        middleware: classes of ASGI middleware with their arguments, the innermost first.
        inner_middleware: inside of every stage's `middleware`, outside of the body limit.
        larger_bodies: path → body limit in bytes, in place of the adapter's.
    """

    settings: Settings
    configured: Any
    routers: list[APIRouter] = field(default_factory=list)
    middleware: list[tuple[Callable[..., Any], dict[str, Any]]] = field(default_factory=list)
    inner_middleware: list[Callable[..., Any]] = field(default_factory=list)
    larger_bodies: dict[str, int] = field(default_factory=dict)


Open = Callable[[Opening], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def _nothing(_: Opening) -> AsyncIterator[None]:
    yield


@dataclass(frozen=True, slots=True)
class Registration:
    """One stage.

    Attributes:
        name: its section in the endpoint's file; unique.
        order: stages open in this order and close in the other one. Its places on a call's way
            have numbers of their own, see `OpenedStages`.
        open: puts the stage into its places, until the block ends.
        configuration: of its section; every field has a default.
        surface: adds its routes and middleware.
        asks_the_application: the stage sends requests to the application, so it is opened when
            that can answer. It must not add itself to `OpenedStages`.
    """

    name: str
    order: int
    open: Open = _nothing
    configuration: type[BaseModel] = NoConfiguration
    surface: Callable[[Surface], None] = lambda _: None
    asks_the_application: bool = False


def registered() -> list[Registration]:
    """All stages that are installed, in their order.

    Raises:
        SettingsError: naming the entry point that is not a stage, or two with one name; also if
            the installation does not know Enginehouse's own entry point.
    """
    found: dict[str, Registration] = {}
    points = entry_points(group=GROUP)
    if not any(_is_own(point) for point in points):
        raise SettingsError(
            "the installed metadata of enginehouse is older than its code, so its stages would be "
            "missing: install it again (pip install --no-deps --editable .)"
        )
    for point in points:
        for registration in _loaded(point):
            if found.setdefault(registration.name, registration) is not registration:
                raise SettingsError(
                    f"the entry point {point.value!r} of the group {GROUP!r} registers a second "
                    f"stage named {registration.name!r}: uninstall one of them"
                )
    return sorted(found.values(), key=lambda one: (one.order, one.name))


def _loaded(point: EntryPoint) -> Iterable[Registration]:
    if _is_own(point) and not _there(point.module):
        return []
    try:
        given = point.load()
        stages = [given] if isinstance(given, Registration) else list(given())
    except (ImportError, AttributeError, TypeError) as error:
        raise SettingsError(
            f"the entry point {point.value!r} of the group {GROUP!r} cannot be loaded: {error}"
        ) from error
    if not all(isinstance(stage, Registration) for stage in stages):
        raise SettingsError(
            f"the entry point {point.value!r} of the group {GROUP!r} gives no "
            "enginehouse.api.registration.Registration"
        )
    return stages


def _is_own(point: EntryPoint) -> bool:
    return point.dist is not None and point.dist.name == _OWN


def _there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False
