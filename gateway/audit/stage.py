"""The stage that has every call written down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from enginehouse.api.call import Call
from enginehouse.api.generation import TextChunk
from enginehouse.api.stage import See
from enginehouse.gateway.audit.config import AuditConfig
from enginehouse.gateway.audit.digests import AuditTexts
from enginehouse.gateway.audit.trail import AuditEvent, AuditTrail
from prometheus_client import CollectorRegistry

from enginehouse.errors import EnginehouseError, RequestCancelledError, ServingError
from enginehouse.http_errors import status_of
from enginehouse.secret_files import ensure_secret_file

_UNEXPECTED = "internal_error"
_OK_STATUS = 200
_UNEXPECTED_STATUS = 500


class AuditOutcome(StrEnum):
    """How a call ended.

    Attributes:
        OK: the whole answer went out.
        REFUSED: an error before anything of the answer went out.
        FAILED: an error after that.
        CANCELLED: the caller left.
    """

    OK = "ok"
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Audit:
    """Records every call: what goes out, and each refusal of the stages behind."""

    trail: AuditTrail

    @asynccontextmanager
    async def enter(self, call: Call) -> AsyncGenerator[See, None]:
        """See `Watcher`.

        Raises:
            StoreError: if the trail cannot be written and calls are to be refused then.
        """
        self.trail.check()
        answers: dict[int, list[str]] = {}

        def see(piece: TextChunk) -> None:
            answers.setdefault(piece.index, []).append(piece.text)

        ended = AuditOutcome.CANCELLED
        status: int | None = None
        code: str | None = RequestCancelledError.code
        try:
            yield see
            ended, code, status = AuditOutcome.OK, None, _OK_STATUS
        except RequestCancelledError:
            raise
        except EnginehouseError as error:
            ended = AuditOutcome.FAILED if answers else AuditOutcome.REFUSED
            code = error.code if isinstance(error, ServingError) else _UNEXPECTED
            status = status_of(error)[0].value
            raise
        except Exception:
            ended = AuditOutcome.FAILED if answers else AuditOutcome.REFUSED
            code, status = _UNEXPECTED, _UNEXPECTED_STATUS
            raise
        finally:
            texts = AuditTexts(call.messages, call.texts, answers)
            fields = {"outcome": ended, "code": code, "status": status, **_fields(call)}
            self.trail.add(AuditEvent(call.at, fields, texts))


def _fields(call: Call) -> dict[str, Any]:
    served = call.served_by
    return {
        "id": call.id,
        "request_id": call.request_id,
        "tenant": call.caller.tenant,
        "key_id": call.caller.key_id,
        "endpoint": call.ask.endpoint,
        "asked_model": call.asked_model,
        "model": None if served is None else served.model,
        "version": None if served is None else served.version,
        "source": None if served is None else served.source,
        "prompt_tokens": call.usage.prompt_tokens,
        "completion_tokens": call.usage.completion_tokens,
        "cost_micros": call.cost_micros,
        "seconds": round(time.perf_counter() - call.began, 6),
        "verdicts": call.findings,
    }


@asynccontextmanager
async def open_audit(
    directory: Path, config: AuditConfig, key_path: Path, registry: CollectorRegistry
) -> AsyncIterator[Audit]:
    """The stage and its trail, until the block ends.

    Args:
        key_path: secret of the digests, made on first use; not to be kept with the trail.

    Raises:
        StoreError: if the directory cannot be used.
        SettingsError: if the secret cannot be used.
    """
    key = await asyncio.to_thread(ensure_secret_file, key_path, "the audit trail's key")
    trail = await asyncio.to_thread(AuditTrail, directory, config, key.encode(), registry)
    try:
        yield Audit(trail)
    finally:
        await asyncio.to_thread(trail.close)
