"""The audit trail: every call, written down so that tampering shows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from enginehouse.api.registration import Opening, Registration
from enginehouse.gateway.audit.config import AuditConfig


@asynccontextmanager
async def _open(opening: Opening) -> AsyncIterator[None]:
    from enginehouse.gateway.audit.stage import open_audit

    config: AuditConfig = opening.configured
    if not config.enabled:
        yield
        return
    settings = opening.settings
    key = settings.home / "audit.key"
    async with open_audit(settings.audit_dir, config, key, opening.registry) as audit:
        opening.stages.asked.add(20, audit)
        yield


registration = Registration("audit", 20, _open, AuditConfig)
