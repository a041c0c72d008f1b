from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from enginehouse.api.caller import Role
from enginehouse.gateway.access.keys import KeyStore
from enginehouse.gateway.access.records import KeyState
from enginehouse.gateway.access.request import KeyRequest
from enginehouse.gateway.access.secret import Pepper, id_of
from enginehouse.gateway.database.database import Database
from pydantic import ValidationError

from enginehouse.errors import InvalidRequestError, NotFoundError
from enginehouse.settings import load_settings
from tests.gateway.access.conftest import Clock
from tests.postgres_server import PostgresServer


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def keys(request: pytest.FixtureRequest, pepper: Pepper, clock: Clock) -> Iterator[KeyStore]:
    """The same on both databases."""
    if request.param == "sqlite":
        yield request.getfixturevalue("store")
        return
    database = Database(request.getfixturevalue("postgres").url)
    yield KeyStore(database, pepper, now=clock)
    database.close()


def test_a_key_is_shown_once_and_kept_as_a_hash(store: KeyStore, tmp_path: Path) -> None:
    issued = store.create(KeyRequest(tenant="acme", note="for the shop"))
    assert id_of(issued.text) == issued.key.id
    secret = issued.text.removeprefix(f"eh_{issued.key.id}_")
    assert len(secret) == 43
    assert secret not in repr(issued)
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"for the shop" in stored
    assert secret.encode() not in stored


def test_what_was_asked_for_is_kept(keys: KeyStore, clock: Clock) -> None:
    asked = KeyRequest(
        tenant="acme",
        roles=frozenset({Role.READ, Role.INFERENCE}),
        models=frozenset({"smollm2@8", "other"}),
        expires_in_s=60.0,
        note="a note",
    )
    made = keys.create(asked).key
    found = keys.find(made.id)
    assert found == made
    assert (found.tenant, found.note, found.created_at) == ("acme", "a note", clock.now)
    assert (found.roles, found.models) == (asked.roles, asked.models)
    assert found.state(clock.now + 59) is KeyState.ACTIVE
    assert found.state(clock.now + 60) is KeyState.EXPIRED
    unbounded = keys.create(KeyRequest(tenant="acme")).key
    assert (unbounded.models, unbounded.expires_at) == (None, None)
    assert unbounded.roles == {Role.INFERENCE}


def test_keys_are_listed_newest_first_and_by_tenant(store: KeyStore, clock: Clock) -> None:
    made = []
    for tenant in ("a", "b", "a"):
        made.append(store.create(KeyRequest(tenant=tenant)).key)
        clock.now += 1
    assert store.list() == made[::-1]
    assert store.list("a") == [made[2], made[0]]
    assert store.list("c") == []


def test_rotation_leaves_the_old_secret_for_the_grace(
    keys: KeyStore, pepper: Pepper, clock: Clock
) -> None:
    first = keys.create(KeyRequest(tenant="acme"))
    second = keys.rotate(first.key.id, grace_s=60.0)
    assert second.key.id == first.key.id
    assert second.text != first.text
    stored = keys.lookup(first.key.id)
    assert stored is not None
    assert stored.digest == pepper.digest(second.text)
    assert stored.previous_digest == pepper.digest(first.text)
    assert stored.key.previous_until == clock.now + 60.0


def test_rotation_without_grace_ends_the_old_secret(store: KeyStore) -> None:
    first = store.create(KeyRequest(tenant="acme"))
    store.rotate(first.key.id, grace_s=0.0)
    stored = store.lookup(first.key.id)
    assert stored is not None
    assert (stored.previous_digest, stored.key.previous_until) == (None, None)


def test_of_two_rotations_at_once_both_secrets_are_valid_for_the_grace(
    keys: KeyStore, pepper: Pepper
) -> None:
    made = keys.create(KeyRequest(tenant="acme")).key
    with ThreadPoolExecutor(2) as pool:
        issued = list(pool.map(lambda _: keys.rotate(made.id, 60.0), range(2)))
    stored = keys.lookup(made.id)
    assert stored is not None
    assert {stored.digest, stored.previous_digest} == {pepper.digest(i.text) for i in issued}


def test_a_rotation_heals_a_key_of_another_pepper(database: Database, store: KeyStore) -> None:
    other = Pepper(b"another pepper")
    made = store.create(KeyRequest(tenant="acme")).key
    issued = KeyStore(database, other).rotate(made.id, 60.0)
    stored = store.lookup(made.id)
    assert stored is not None
    assert (stored.pepper, stored.digest) == (other.mark, other.digest(issued.text))
    assert stored.previous_digest is None


def test_a_key_that_has_ended_is_not_rotated(store: KeyStore, clock: Clock) -> None:
    revoked = store.create(KeyRequest(tenant="acme")).key
    store.revoke(revoked.id)
    expired = store.create(KeyRequest(tenant="acme", expires_in_s=1.0)).key
    clock.now += 1
    for key, word in ((revoked, "revoked"), (expired, "expired")):
        with pytest.raises(InvalidRequestError, match=f"{key.id} is {word}"):
            store.rotate(key.id, 60.0)


def test_revoking_again_changes_nothing(keys: KeyStore, clock: Clock) -> None:
    made = keys.create(KeyRequest(tenant="acme")).key
    first = keys.revoke(made.id)
    assert first.state(clock.now) is KeyState.REVOKED
    clock.now += 5
    assert keys.revoke(made.id) == first


def test_an_unknown_key_is_named(store: KeyStore) -> None:
    for act in (store.find, store.revoke, lambda key_id: store.rotate(key_id, 1.0)):
        with pytest.raises(NotFoundError, match="000000000000"):
            act("000000000000")
    assert store.lookup("000000000000") is None


def test_use_is_written_once_a_minute(keys: KeyStore, clock: Clock) -> None:
    made = keys.create(KeyRequest(tenant="acme")).key
    seen = []
    for pause_s in (0.0, 59.0, 2.0):
        clock.now += pause_s
        keys.used(made.id)
        seen.append(keys.find(made.id).last_used_at)
    assert seen == [clock.now - 61.0, clock.now - 61.0, clock.now]


@pytest.mark.parametrize(
    "wrong",
    [
        {"tenant": "a b"},
        {"tenant": "a\n"},
        {"tenant": ""},
        {"tenant": "a", "roles": []},
        {"tenant": "a", "roles": ["root"]},
        {"tenant": "a", "models": []},
        {"tenant": "a", "models": ["smollm2@"]},
        {"tenant": "a", "models": ["Smol LM"]},
        {"tenant": "a", "expires_in_s": 0},
        {"tenant": "a", "expires_in_s": float("inf")},
        {"tenant": "a", "note": "two\nlines"},
        {"tenant": "a", "note": "\x00"},
        {"tenant": "a", "secret": "mine"},
    ],
)
def test_a_request_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        KeyRequest.model_validate(wrong)


def test_the_pepper_is_made_once_and_private(tmp_path: Path) -> None:
    settings = load_settings({"ENGINEHOUSE_HOME": str(tmp_path / "home")}, cwd=tmp_path)
    assert Pepper.of(settings) == Pepper.of(settings)
    path = tmp_path / "home" / "keys.pepper"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text() not in repr(Pepper.of(settings))
    shared = load_settings({"ENGINEHOUSE_KEYS_PEPPER_FILE": str(path)}, cwd=tmp_path)
    assert Pepper.of(shared) == Pepper.of(settings)
