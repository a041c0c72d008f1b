"""Opening everything that routes use, and closing it in the other order."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from enginehouse.api.configuration import EndpointFile
from enginehouse.api.directory import ModelDirectory
from enginehouse.api.generation import Engine
from enginehouse.api.metrics import ApiMetrics
from enginehouse.api.pipeline import Stages, counting_pipeline, text_pipeline, whole_pipeline
from enginehouse.api.readiness import Readiness
from enginehouse.api.revision import Served, open_served
from enginehouse.api.route_files import RouteFiles
from enginehouse.api.routing import Router
from enginehouse.api.state import ApiState
from enginehouse.client import AsyncFleetClient, Deadlines, discovery_of
from enginehouse.client.members import ReplicaClient
from enginehouse.gateway.access.guard import open_access
from enginehouse.gateway.audit.stage import open_audit
from enginehouse.gateway.batches.in_process import InProcessRunner
from enginehouse.gateway.batches.open import open_batches
from enginehouse.gateway.cache.stage import open_cache, routed_by
from enginehouse.gateway.content.log_filter import install_log_filter
from enginehouse.gateway.content.opening import open_content
from enginehouse.gateway.database.database import Database
from enginehouse.gateway.fallback.stage import open_fallback
from enginehouse.gateway.journal.journal import Journal
from enginehouse.gateway.ledger.ledger import open_ledger
from enginehouse.gateway.limits.ceiling import most_answer_tokens
from enginehouse.gateway.limits.opening import open_limits
from enginehouse.gateway.models.settings import ModelSettings
from enginehouse.gateway.prompts.stage import open_prompts
from enginehouse.gateway.responses.store import open_responses
from enginehouse.gateway.samples.ring import SampleRing
from enginehouse.gateway.shadow.aside_parts import open_aside
from enginehouse.gateway.shadow.shadow import pairs_kept
from enginehouse.gateway.tracing.opening import open_observability
from enginehouse.registry import BundleCache, Registry
from fastapi import FastAPI

from enginehouse.admin_token import ensure_admin_token
from enginehouse.settings import Settings
from enginehouse.telemetry import read_telemetry
from enginehouse.triton_control import triton_control_secret


class Assembly:
    """The adapter's parts, of settings that were checked."""

    def __init__(
        self,
        settings: Settings,
        configured: EndpointFile,
        connect: Callable[[str], ReplicaClient] | None,
        open_version: Callable[[str, int], Served] | None,
    ) -> None:
        """Nothing is opened yet.

        Raises:
            SettingsError: if a setting cannot be used.
        """
        self._settings = settings
        self._file = configured
        self._connect = connect
        self._open_version = open_version
        self._discovery = discovery_of(settings)
        self._pairs = pairs_kept(os.environ)
        self._telemetry = read_telemetry(os.environ)
        self._models = ModelSettings(configured.models)
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
        async with AsyncExitStack() as stack:
            database = await asyncio.to_thread(Database, self._settings.database_url)
            stack.callback(database.close)
            file, settings = self._file, self._settings
            app.state.enginehouse = await self._open_state(app, stack, database)
            stack.callback(install_log_filter(file.content.log))
            access = await stack.enter_async_context(open_access(settings, file.access, database))
            app.state.access = access
            app.state.responses = await stack.enter_async_context(
                open_responses(database, file.responses)
            )
            # Last, and closed first: batches ask the application itself.
            app.state.batches = await stack.enter_async_context(
                open_batches(
                    database,
                    settings.files_dir,
                    file.batches,
                    InProcessRunner(app, vouch=access.keyring.still),
                )
            )
            yield

    async def _open_state(
        self, app: FastAPI, stack: AsyncExitStack, database: Database
    ) -> ApiState:
        settings, limits = self._settings, self._limits
        # Whoever comes first makes the token; a home that refuses it fails here, not later.
        token = ensure_admin_token(settings)
        fleet = AsyncFleetClient(
            self._discovery,
            deadlines=limits,
            connect=self._connect,
            control_secret=triton_control_secret(token),
        )
        client = await stack.enter_async_context(fleet)
        registry = Registry(settings)
        directory = await stack.enter_async_context(
            ModelDirectory(client, RouteFiles(settings.routes_dir), self._opener(registry))
        )
        metrics, samples = ApiMetrics(), SampleRing(settings.api.samples_kept)
        journal = Journal(settings.journal_dir)
        router = Router(directory, pins=settings.api.pins)
        beside = open_aside(
            settings, directory, client, metrics.registry, samples, journal, pairs=self._pairs
        )
        aside = await stack.enter_async_context(beside)
        stages = await self._open_stages(stack, database, metrics, directory, registry)
        app.state.call_metrics, app.state.ledger = stages.observed.metrics, stages.ledger
        return ApiState(
            client=client,
            directory=directory,
            router=router,
            readiness=Readiness(client, directory, settings.api.ready_cache_s),
            metrics=metrics,
            samples=samples,
            journal=journal,
            aside=aside,
            engine=Engine(
                client, metrics, limits, most_answer_tokens(self._file.limits, settings.api)
            ),
            pipeline=whole_pipeline(stages),
            text=text_pipeline(stages, router, metrics, samples, aside),
            counting=counting_pipeline(stages, router),
            models=self._models,
            admin_token=partial(ensure_admin_token, settings),
        )

    async def _open_stages(
        self,
        stack: AsyncExitStack,
        database: Database,
        metrics: ApiMetrics,
        directory: ModelDirectory,
        registry: Registry,
    ) -> Stages:
        """Every stage that can be configured; those that are off are left out of the chain."""
        settings, file, open_ = self._settings, self._file, stack.enter_async_context
        page, redis_url = metrics.registry, settings.endpoint.redis_url
        observed = await open_(open_observability(self._telemetry, file.observability, page))
        ledger = await open_(open_ledger(database, file.ledger, settings.ledger_dir, page))
        priced = ledger.price if file.ledger.enabled else None
        limits = await open_(
            open_limits(file.limits, page, ledger.spending, redis_url=redis_url, price=priced)
        )
        prompts, released = open_prompts(
            file.prompts, registry, lambda model: self._models.of(model).system_prompt
        )
        audit = None
        if file.audit.enabled:
            audit = await open_(
                open_audit(settings.audit_dir, file.audit, settings.home / "audit.key", page)
            )
        cache = None
        if file.cache.enabled:
            routed = routed_by(directory)
            cache = await open_(
                open_cache(
                    file.cache,
                    page,
                    routed,
                    redis_url=redis_url,
                    settings=self._models.fingerprint,
                )
            )
        return Stages(
            observed=observed,
            audit=audit,
            ledger=ledger if file.ledger.enabled else None,
            models=self._models,
            limits=limits,
            prompts=prompts,
            released=released,
            content=await open_(open_content(file.content, page)),
            fallback=await open_(open_fallback(file.fallback, page)),
            cache=cache,
        )

    def _opener(self, registry: Registry) -> Callable[[str, int], Served]:
        if self._open_version is not None:
            return self._open_version
        return partial(open_served, BundleCache(self._settings.cache_dir, registry))
