"""Verifies MLflow's webhooks: signature, freshness, and that a delivery is not repeated.

MLflow signs as Standard Webhooks do: ``v1,`` and the base64 of HMAC-SHA256 over
``<delivery id>.<timestamp>.<body>``. A webhook only triggers an early read of the registry; its
content is not used.
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
#: Maximum difference between a webhook's timestamp and the clock.
TOLERANCE_S = 300.0
_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class MlflowEvent:
    """The event that a webhook reports.

    Attributes:
        entity: for example ``model_version_alias``.
        action: for example ``created``.
        model: MLflow's name of the registered model, with an environment's prefix; None for
            events of other entities.
    """

    delivery: str
    entity: str
    action: str
    model: str | None
    data: Mapping[str, Any]


class Deliveries:
    """Delivery ids whose timestamp would still be accepted; at most `limit` of them."""

    def __init__(self, limit: int = _REMEMBERED) -> None:
        self._limit = limit
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._lock = Lock()

    def admit(self, delivery: str, now: float) -> bool:
        """Whether this id is new; remembers it.

        Above the limit the oldest id is forgotten. Only MLflow can send so many valid signatures,
        and repeating a hint is harmless.
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
) -> MlflowEvent:
    """Verify a webhook and return its event.

    Args:
        headers: names in upper or lower case.
        now: seconds since the epoch.
        deliveries: ids seen so far; this one is added.

    Raises:
        ForbiddenError: if a header is missing, the signature is wrong, the timestamp is more
            than five minutes off, or the delivery is repeated.
        InvalidRequestError: if the signed body is not an MLflow event.
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
) -> Callable[[Mapping[str, str], bytes], MlflowEvent]:
    """`verify` with a fixed secret and its own memory of deliveries.

    Raises:
        SettingsError: if the secret is empty, because anybody could sign with it.
    """
    if not secret:
        raise SettingsError("ENGINEHOUSE_WEBHOOK_SECRET_FILE is empty: put the secret in it")
    deliveries = Deliveries()
    return lambda headers, body: verify(headers, body, secret, clock(), deliveries)


def _header(headers: Mapping[str, str], key: str) -> str:
    value = headers.get(key)
    if not value:
        raise ForbiddenError(f"no header {key}: this is not a signed webhook from MLflow")
    return value


def _signatures(header: str) -> list[bytes]:
    """The signatures of version `v1`; there may be two while a secret is being changed."""
    found = []
    for each in header.split():
        version, _, text = each.partition(",")
        if version == _VERSION:
            try:
                found.append(base64.b64decode(text, validate=True))
            except (binascii.Error, ValueError):
                continue
    return found


def _event(delivery: str, body: bytes) -> MlflowEvent:
    try:
        payload = json.loads(body)
        data = dict(payload["data"])
        entity, action = str(payload["entity"]), str(payload["action"])
    except (ValueError, KeyError, TypeError) as error:
        message = f"the webhook's body is not an MLflow event: {error}"
        raise InvalidRequestError(message) from None
    model = data.get("name") if "model" in entity else None
    return MlflowEvent(delivery, entity, action, model if isinstance(model, str) else None, data)
