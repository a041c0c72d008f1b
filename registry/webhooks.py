"""MLflow's webhooks: proof that one is MLflow's, fresh, and not sent before.

MLflow signs as Standard Webhooks do: ``v1,`` and the base64 of HMAC-SHA256 over
``<delivery id>.<timestamp>.<body>``. A webhook is a hint to look at the registry now, never the
truth: what it says is not acted upon.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

from enginehouse.errors import ForbiddenError, InvalidRequestError, SettingsError

_SIGNATURE = "x-mlflow-signature"
_TIMESTAMP = "x-mlflow-timestamp"
_DELIVERY = "x-mlflow-delivery-id"
_VERSION = "v1"
#: Older, or further in the future, is refused.
TOLERANCE_S = 300.0
_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Event:
    """What MLflow says happened.

    Attributes:
        entity: for example ``model_version_alias``.
        action: for example ``created``.
        model: MLflow's name of the registered model, with an environment's prefix; None if the
            event is of something else.
    """

    delivery: str
    entity: str
    action: str
    model: str | None
    data: Mapping[str, Any]


class Deliveries:
    """Ids that were seen while their timestamp is still accepted; at most `limit` of them."""

    def __init__(self, limit: int = _REMEMBERED) -> None:
        self._limit = limit
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._lock = Lock()

    def admit(self, delivery: str, now: float) -> bool:
        """Whether this id is new; it is not from then on.

        When too many are remembered the oldest is forgotten: a flood of them carries valid
        signatures, so it is MLflow's own, and a replayed hint does no harm.
        """
        with self._lock:
            while self._seen and next(iter(self._seen.values())) < now - 2 * TOLERANCE_S:
                self._seen.popitem(last=False)
            if delivery in self._seen:
                return False
            self._seen[delivery] = now
            if len(self._seen) > self._limit:
                self._seen.popitem(last=False)
            return True


def verify(
    headers: Mapping[str, str], body: bytes, secret: str, now: float, deliveries: Deliveries
) -> Event:
    """The event that a request carries.

    Args:
        headers: in any case of letters.
        now: seconds since the epoch.
        deliveries: what was seen so far; this one is added.

    Raises:
        ForbiddenError: if a header is missing, the signature is wrong, the timestamp is more
            than five minutes off, or the delivery was seen before.
        InvalidRequestError: if the signed body is no event of MLflow's.
    """
    found = {key.lower(): value for key, value in headers.items()}
    delivery, timestamp, signature = (
        _header(found, key) for key in (_DELIVERY, _TIMESTAMP, _SIGNATURE)
    )
    expected = hmac.digest(
        secret.encode(), f"{delivery}.{timestamp}.".encode() + body, hashlib.sha256
    )
    if not any(hmac.compare_digest(expected, sent) for sent in _signatures(signature)):
        raise ForbiddenError(
            "the webhook's signature is wrong: give MLflow's webhook the secret that "
            "ENGINEHOUSE_WEBHOOK_SECRET_FILE holds"
        )
    if not timestamp.isdecimal() or abs(now - int(timestamp)) > TOLERANCE_S:
        raise ForbiddenError(
            f"the webhook's timestamp {timestamp} is more than {TOLERANCE_S:.0f} s off: it is a "
            "replay, or the clocks of MLflow's host and of this one differ"
        )
    event = _event(delivery, body)
    if not deliveries.admit(delivery, now):
        raise ForbiddenError(f"the webhook delivery {delivery} was received before")
    return event


def verifier(
    secret: str, clock: Callable[[], float] = time.time
) -> Callable[[Mapping[str, str], bytes], Event]:
    """`verify` with one secret and a memory of its own.

    Raises:
        SettingsError: if the secret is empty: anybody could sign with it.
    """
    if not secret:
        raise SettingsError("ENGINEHOUSE_WEBHOOK_SECRET_FILE is empty: put the secret in it")
    deliveries = Deliveries()
    return lambda headers, body: verify(headers, body, secret, clock(), deliveries)


def _header(headers: Mapping[str, str], key: str) -> str:
    value = headers.get(key)
    if not value:
        raise ForbiddenError(f"no header {key}: this is no signed webhook of MLflow's")
    return value


def _signatures(header: str) -> list[bytes]:
    """The signatures of our version; while a secret is being changed there may be two."""
    found = []
    for each in header.split():
        version, _, text = each.partition(",")
        if version == _VERSION:
            try:
                found.append(base64.b64decode(text, validate=True))
            except (binascii.Error, ValueError):
                continue
    return found


def _event(delivery: str, body: bytes) -> Event:
    try:
        payload = json.loads(body)
        data = dict(payload["data"])
        entity, action = str(payload["entity"]), str(payload["action"])
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidRequestError(f"the webhook's body is no event of MLflow's: {error}") from None
    model = data.get("name") if "model" in entity else None
    return Event(delivery, entity, action, model if isinstance(model, str) else None, data)
