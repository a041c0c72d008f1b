"""Opening everything that routes use, and closing it in the other order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from enginehouse.api.answer_ceiling import AnswerCeiling
from enginehouse.api.bundles import VersionOpener, open_versions
from enginehouse.api.defaults import ModelNames, OwnModelNames
from enginehouse.api.directory import ModelDirectory
from enginehouse.api.generation import Engine
from enginehouse.api.metrics import ApiMetrics
from enginehouse.api.opened import OpenedStages
from enginehouse.api.readiness import Readiness
from enginehouse.api.registration import Opening, Registration
from enginehouse.api.route_files import RouteFiles
from enginehouse.api.routing import Router
from enginehouse.api.services import Services
from enginehouse.api.state import ApiState
from enginehouse.api.ways import counting_way, text_way, vector_way
from enginehouse.client import AsyncFleetClient, Deadlines, discovery_of
from enginehouse.client.members import ReplicaClient
from fastapi import FastAPI
from pydantic import BaseModel

from enginehouse.admin_token import ensure_admin_token
from enginehouse.settings import Settings
from enginehouse.triton_control import triton_control_secret


class Assembly:
    """The adapter's parts, of settings that were checked."""

    def __init__(
        self,
        settings: Settings,
        registered: Sequence[Registration],
        sections: Mapping[str, BaseModel],
        connect: Callable[[str], ReplicaClient] | None,
        open_version: VersionOpener | None,
    ) -> None:
        """Nothing is opened yet.

        Raises:
            SettingsError: if a setting cannot be used.
        """
        self._settings = settings
        self._registered = registered
        self._sections = sections
        self._connect = connect
        self._open_version = open_version
        self._discovery = discovery_of(settings)
        self._limits = Deadlines(
            total_s=settings.api.request_timeout_s,
            first_token_s=settings.api.first_token_timeout_s,
            between_tokens_s=settings.api.between_tokens_timeout_s,
        )

    @asynccontextmanager
    async def open(self, app: FastAPI) -> AsyncIterator[None]:
        """The state of a running application, in ``app.state``.

        Raises:
            EnginehouseError: if something cannot be opened; what was opened has been closed.
        """
        async with AsyncExitStack() as shared, AsyncExitStack() as stack:
            services = app.state.services = Services(shared)
            core = await self._core(stack)
            stages = OpenedStages()

            async def open_those(*, asking: bool) -> None:
                for one in self._registered:
                    if one.asks_the_application is asking:
                        opening = self._opening(app, one, core, stages, services)
                        await stack.enter_async_context(one.open(opening))

            await open_those(asking=False)
            app.state.enginehouse = self._state(core, stages, services)
            await open_those(asking=True)
            yield

    async def _core(self, stack: AsyncExitStack) -> _Core:
        settings = self._settings
        # The first process of a stack makes the token; a home that refuses it fails here.
        token = ensure_admin_token(settings)
        fleet = AsyncFleetClient(
            self._discovery,
            deadlines=self._limits,
            connect=self._connect,
            control_secret=triton_control_secret(token),
        )
        client = await stack.enter_async_context(fleet)
        opener = self._open_version or open_versions(settings)
        directory = await stack.enter_async_context(
            ModelDirectory(client, RouteFiles(settings.routes_dir), opener)
        )
        return _Core(client, directory, Router(directory, pins=settings.api.pins), ApiMetrics())

    def _opening(
        self,
        app: FastAPI,
        stage: Registration,
        core: _Core,
        stages: OpenedStages,
        services: Services,
    ) -> Opening:
        return Opening(
            app=app,
            settings=self._settings,
            configured=self._sections[stage.name],
            stages=stages,
            services=services,
            registry=core.metrics.registry,
            client=core.client,
            directory=core.directory,
            router=core.router,
        )

    def _state(self, core: _Core, stages: OpenedStages, services: Services) -> ApiState:
        settings = self._settings
        ceiling = services.find(AnswerCeiling) or AnswerCeiling.of(settings.api)
        return ApiState(
            client=core.client,
            directory=core.directory,
            router=core.router,
            readiness=Readiness(core.client, core.directory, settings.api.ready_cache_s),
            metrics=core.metrics,
            engine=Engine(core.client, core.metrics, self._limits, ceiling.tokens),
            text=text_way(stages, core.router, core.metrics),
            counting=counting_way(stages, core.router),
            vectors=vector_way(stages, core.router, core.metrics),
            names=_names(services),
            admin_token=partial(ensure_admin_token, settings),
        )


@dataclass(frozen=True, slots=True)
class _Core:
    """What the adapter is made of, whatever stages there are."""

    client: AsyncFleetClient
    directory: ModelDirectory
    router: Router
    metrics: ApiMetrics


def _names(services: Services) -> ModelNames:
    offered: ModelNames | None = services.find(ModelNames)  # type: ignore[type-abstract]
    return OwnModelNames() if offered is None else offered
