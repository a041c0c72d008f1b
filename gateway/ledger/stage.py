"""The stage that has usage written down."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from enginehouse.api.call import Call, Ends, Proceed
from enginehouse.api.generation import Piece
from enginehouse.gateway.ledger.ledger import Ledger
from enginehouse.gateway.ledger.records import UsageOutcome

from enginehouse.errors import DeadlineError, RequestCancelledError


@dataclass(frozen=True, slots=True)
class UsageLedger:
    """Writes a call down before the end of its answer is given on.

    What a caller has in full is in the ledger then, even if this process dies the next moment.
    Only pieces that end an answer wait for that; all others pass at once.
    """

    ledger: Ledger
    name: str = "ledger"

    async def __call__(self, call: Call, proceed: Proceed) -> AsyncGenerator[Piece, None]:
        """See `Stage`."""
        self.ledger.check()
        begun = settled = False
        outcome = UsageOutcome.CANCELLED
        last: Piece | None = None
        ends = Ends(call)
        try:
            async with aclosing(proceed(call)) as pieces:
                async for piece in pieces:
                    begun = True
                    if last is not None:
                        # Another answer of the same call goes on.
                        yield last
                        last = None
                    if ends.after(piece):
                        settled = True
                        await self.ledger.record(call)
                        yield piece
                    elif piece.finish is None:
                        yield piece
                    else:
                        last = piece
            if not settled:
                settled = True
                await self.ledger.record(call)
            if last is not None:
                yield last
        except (RequestCancelledError, DeadlineError):
            # It ended since the caller wanted it to: what was generated is paid for.
            raise
        except Exception:
            outcome = UsageOutcome.FAILED
            raise
        finally:
            # A call of which nothing was generated has used nothing.
            if not settled and (begun or call.usage.completion_tokens):
                self.ledger.record_cut(call, outcome)
