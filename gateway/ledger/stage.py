"""The stage that has usage recorded."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from enginehouse.api.begun import Ends
from enginehouse.api.call import Call
from enginehouse.api.generation import TextChunk
from enginehouse.api.stage import Proceed
from enginehouse.gateway.ledger.ledger import Ledger
from enginehouse.gateway.ledger.records import UsageOutcome

from enginehouse.errors import DeadlineError, RequestCancelledError

_Call = TypeVar("_Call", bound=Call)


@dataclass(frozen=True, slots=True)
class UsageLedger:
    """Records a call before its last chunk is passed on to the caller.

    A caller who has the whole answer is in the ledger then, even if this process dies the next
    moment. Only chunks that end an answer wait for that; all others pass at once.
    """

    ledger: Ledger

    @asynccontextmanager
    async def transform(
        self, call: _Call, proceed: Proceed[_Call]
    ) -> AsyncGenerator[AsyncIterator[TextChunk], None]:
        """See `Transformer`.

        Raises:
            StoreError: if usage cannot be recorded and calls are to be refused then.
        """
        self.ledger.check()
        entry = _Entry(self.ledger, call)
        outcome = UsageOutcome.CANCELLED
        try:
            async with proceed(call) as pieces, aclosing(entry.pieces(pieces)) as settled:
                yield settled
        except (RequestCancelledError, DeadlineError):
            # The caller ended it: what was generated is paid for.
            raise
        except Exception:
            outcome = UsageOutcome.FAILED
            raise
        finally:
            # A call of which nothing was generated has used nothing.
            if not entry.settled and (entry.begun or call.usage.completion_tokens):
                self.ledger.record_cut(call, outcome)


@dataclass(slots=True)
class _Entry:
    """One call.

    Attributes:
        begun: a chunk has come.
        settled: the call is recorded, or it is being recorded.
    """

    ledger: Ledger
    call: Call
    begun: bool = False
    settled: bool = False

    async def pieces(self, pieces: AsyncIterator[TextChunk]) -> AsyncGenerator[TextChunk, None]:
        """The same chunks; the last one waits until the call is recorded."""
        last: TextChunk | None = None
        ends = Ends(self.call)
        async for piece in pieces:
            self.begun = True
            if last is not None:
                # Another answer of the same call is still running.
                yield last
                last = None
            if ends.after(piece):
                await self._settle()
                yield piece
            elif piece.finish is None:
                yield piece
            else:
                last = piece
        if not self.settled:
            await self._settle()
        if last is not None:
            yield last

    async def _settle(self) -> None:
        self.settled = True
        await self.ledger.record(self.call)
