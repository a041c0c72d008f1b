from __future__ import annotations

import json
import time
from collections.abc import Mapping

import pytest
import requests
from enginehouse.registry.webhooks import TOLERANCE_S, Deliveries, MlflowEvent, verifier, verify
from mlflow.entities.webhook import Webhook, WebhookEvent
from mlflow.webhooks import delivery as mlflow_delivery
from mlflow.webhooks.types import ModelVersionAliasCreatedPayload

from enginehouse.errors import ForbiddenError, InvalidRequestError, SettingsError

SECRET = "whsec-geheim-ü"
PAYLOAD = {"name": "staging.smollm2", "alias": "challenger", "version": "8"}


class Captured(requests.Session):
    """Keeps what MLflow would have sent."""

    headers_sent: Mapping[str, str]
    body: bytes

    def post(self, url, data=None, headers=None, **_):  # type: ignore[override]
        self.body, self.headers_sent = data, headers
        return requests.Response()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Captured:
    """A webhook made and signed by MLflow's own code."""
    # The check of the address resolves it, and there is no network here.
    monkeypatch.setattr(mlflow_delivery, "_validate_webhook_url", lambda url: url)
    webhook = Webhook(
        webhook_id="1",
        name="w",
        url="https://controller.example/webhooks/mlflow",
        events=[WebhookEvent.from_str("model_version_alias.created")],
        creation_timestamp=0,
        last_updated_timestamp=0,
        secret=SECRET,
    )
    session = Captured()
    payload = ModelVersionAliasCreatedPayload(**PAYLOAD)
    mlflow_delivery._send_webhook_request(webhook, payload, webhook.events[0], session)
    return session


def check(sent: Captured, **changed: str) -> MlflowEvent:
    headers = {**sent.headers_sent, **{k.replace("_", "-"): v for k, v in changed.items()}}
    return verify(headers, sent.body, SECRET, time.time(), Deliveries())


def test_what_mlflow_signs_is_taken(sent: Captured) -> None:
    event = check(sent)
    assert (event.entity, event.action, event.model) == (
        "model_version_alias",
        "created",
        "staging.smollm2",
    )
    assert event.data["alias"] == "challenger"


def test_headers_may_come_in_lower_case(sent: Captured) -> None:
    headers = {key.lower(): value for key, value in sent.headers_sent.items()}
    assert verifier(SECRET)(headers, sent.body).model == "staging.smollm2"


def test_of_several_signatures_one_has_to_fit(sent: Captured) -> None:
    old = f"v1,AAAA v9,zzz v1,*** {sent.headers_sent['X-MLflow-Signature']}"
    assert check(sent, **{"X-MLflow-Signature": old}).action == "created"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("X-MLflow-Signature", "v1,AAAA"),
        ("X-MLflow-Signature", "v1,ü"),
        ("X-MLflow-Signature", "v2,AAAA"),
        ("X-MLflow-Signature", ""),
        ("X-MLflow-Delivery-Id", "another"),
        ("X-MLflow-Delivery-Id", ""),
        ("X-MLflow-Timestamp", "1"),
        ("X-MLflow-Timestamp", ""),
    ],
)
def test_whatever_is_changed_is_refused(sent: Captured, header: str, value: str) -> None:
    with pytest.raises(ForbiddenError):
        check(sent, **{header: value})


def test_another_body_or_secret_is_refused(sent: Captured) -> None:
    now = time.time()
    with pytest.raises(ForbiddenError, match="signature"):
        verify(sent.headers_sent, sent.body + b" ", SECRET, now, Deliveries())
    with pytest.raises(ForbiddenError, match="signature"):
        verify(sent.headers_sent, sent.body, "other", now, Deliveries())


@pytest.mark.parametrize("shift_s", [TOLERANCE_S + 5, -TOLERANCE_S - 5])
def test_an_old_or_early_one_is_refused(sent: Captured, shift_s: float) -> None:
    with pytest.raises(ForbiddenError, match="timestamp"):
        verify(sent.headers_sent, sent.body, SECRET, time.time() + shift_s, Deliveries())


def test_a_replay_is_refused(sent: Captured) -> None:
    check_once = verifier(SECRET)
    check_once(sent.headers_sent, sent.body)
    with pytest.raises(ForbiddenError, match="before"):
        check_once(sent.headers_sent, sent.body)


def test_the_memory_of_deliveries_is_bounded_and_forgets_by_age() -> None:
    deliveries = Deliveries(limit=2)
    assert [deliveries.admit(word, 0.0) for word in ("a", "b", "a", "c")] == [
        True,
        True,
        False,
        True,
    ]
    assert deliveries.admit("a", 0.0), "two are remembered"
    assert not deliveries.admit("a", 2 * TOLERANCE_S)
    assert deliveries.admit("a", 2 * TOLERANCE_S + 1)


@pytest.mark.parametrize("body", [b"{", b"[]", b"{}", json.dumps({"data": 1}).encode()])
def test_a_signed_body_that_is_no_event_is_refused(body: bytes) -> None:
    stamp = str(int(time.time()))
    signature = mlflow_delivery._generate_hmac_signature(SECRET, "d", stamp, body.decode())
    headers = {
        "X-MLflow-Delivery-Id": "d",
        "X-MLflow-Timestamp": stamp,
        "X-MLflow-Signature": signature,
    }
    with pytest.raises(InvalidRequestError):
        verify(headers, body, SECRET, time.time(), Deliveries())


def test_an_empty_secret_is_no_secret() -> None:
    with pytest.raises(SettingsError):
        verifier("")
