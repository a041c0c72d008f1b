"""Transactions of MLflow's store that commit only if a bid for the lease still exists.

If this process opens MLflow's database itself (SQLite, PostgreSQL, MySQL), its writes are
SQLAlchemy sessions of this process. Just before a session commits, and in the same transaction, the
bid's row is read with a shared lock. A takeover changes that row. So either the takeover waits for
this commit, or this transaction sees it and is rolled back. SQLite permits one writer at a time,
which has the same effect. With an MLflow server no session is opened here, and nothing happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any

from enginehouse.registry.controller.lease import Bid

from enginehouse.errors import LeaseLostError


@dataclass(slots=True)
class _Watched:
    bid: Bid
    gone: bool = False


_watched: ContextVar[_Watched | None] = ContextVar("watched_bid", default=None)


@contextmanager
def only_while_bid_exists(bid: Bid, lost: Callable[[], LeaseLostError]) -> Iterator[None]:
    """Roll back this thread's commits to MLflow's database once the bid is gone.

    Raises:
        LeaseLostError: created by `lost`, if that happened.
    """
    from mlflow.exceptions import MlflowException

    _listen()
    watched = _Watched(bid)
    token = _watched.set(watched)
    try:
        yield
    except MlflowException:
        # MLflow wraps exceptions that a session raises.
        if watched.gone:
            raise lost() from None
        raise
    finally:
        _watched.reset(token)


@cache
def _listen() -> None:
    """Register once for each process; other sessions only pay for reading a variable."""
    from sqlalchemy import event
    from sqlalchemy.orm import Session

    event.listen(Session, "before_commit", _compare)


def _compare(session: Any) -> None:
    watched = _watched.get()
    if watched is None:
        return
    from mlflow.entities.model_registry.model_version_stages import STAGE_DELETED_INTERNAL
    from mlflow.exceptions import MlflowException
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion

    # Write first, then read: SQLite takes its lock at the first writing statement.
    session.flush()
    row = (
        session.query(SqlModelVersion.version)
        .filter(
            SqlModelVersion.name == watched.bid.model,
            SqlModelVersion.version == watched.bid.epoch,
            SqlModelVersion.current_stage != STAGE_DELETED_INTERNAL,
        )
        .with_for_update(read=True)
        .first()
    )
    if row is None:
        watched.gone = True
        raise MlflowException("the lease was taken over")
