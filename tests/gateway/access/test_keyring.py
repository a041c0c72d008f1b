from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable

import pytest
from enginehouse.api.caller import Caller, Role
from enginehouse.gateway.access.config import AccessConfig
from enginehouse.gateway.access.keyring import Keyring
from enginehouse.gateway.access.keys import IssuedKey, KeyStore
from enginehouse.gateway.access.records import StoredKey
from enginehouse.gateway.access.request import KeyRequest
from enginehouse.gateway.access.secret import Pepper, new_id, new_key
from enginehouse.gateway.database.database import Database
from pydantic import ValidationError

from enginehouse.errors import StoreError, UnauthenticatedError
from tests.gateway.access.conftest import Clock

_CONFIG = AccessConfig(refresh_after_s=2.0, use_within_s=4.0)


class Watched:
    """A store that counts what it is asked, and does what a test wants in between."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self.lookups: list[str] = []
        self.uses: list[str] = []
        self.after_lookup: Callable[[], object] = lambda: None
        self.fails = False

    def lookup(self, key_id: str) -> StoredKey | None:
        self.lookups.append(key_id)
        if self.fails:
            raise StoreError("the disk is gone")
        found = self._store.lookup(key_id)
        self.after_lookup()
        return found

    def used(self, key_id: str) -> None:
        self.uses.append(key_id)
        if self.fails:
            raise StoreError("the disk is gone")
        self._store.used(key_id)


@pytest.fixture
def watched(store: KeyStore) -> Watched:
    return Watched(store)


@pytest.fixture
def ring(watched: Watched, pepper: Pepper, clock: Clock) -> Keyring:
    return Keyring(watched, pepper, _CONFIG, now=clock, monotonic=clock)


@pytest.fixture
def issued(store: KeyStore) -> IssuedKey:
    return store.create(
        KeyRequest(tenant="acme", roles=frozenset({Role.READ}), models=frozenset({"smollm2"}))
    )


async def _refused(ring: Keyring, text: str) -> str:
    with pytest.raises(UnauthenticatedError) as caught:
        await ring.caller(text)
    return str(caught.value)


def test_a_key_names_its_caller(ring: Keyring, issued: IssuedKey) -> None:
    expected = Caller("acme", issued.key.id, frozenset({Role.READ}), frozenset({"smollm2"}))
    assert asyncio.run(ring.caller(issued.text)) == expected


def test_what_is_no_key_is_refused_in_the_same_words(ring: Keyring, issued: IssuedKey) -> None:
    async def test() -> None:
        wrong_secret = new_key(issued.key.id)
        texts = ["", "sk-x", "é", issued.text[:-1], issued.text + "\n", new_key(new_id())]
        said = [await _refused(ring, text) for text in (*texts, wrong_secret)]
        assert len(set(said)) == 1
        assert issued.key.id not in said[0]

    asyncio.run(test())


def test_requests_with_a_known_key_cost_no_sql(
    ring: Keyring, watched: Watched, issued: IssuedKey, clock: Clock
) -> None:
    async def test() -> None:
        await asyncio.gather(*(ring.caller(issued.text) for _ in range(50)))
        clock.now += 1.9
        await ring.caller(issued.text)
        await ring.close()

    asyncio.run(test())
    assert watched.lookups == [issued.key.id]
    assert watched.uses == [issued.key.id]


def test_unknown_ids_are_remembered_too(ring: Keyring, watched: Watched) -> None:
    async def test() -> None:
        text = new_key(new_id())
        for _ in range(3):
            await _refused(ring, text)

    asyncio.run(test())
    assert len(watched.lookups) == 1


def test_a_revocation_elsewhere_holds_within_five_seconds(
    ring: Keyring, store: KeyStore, issued: IssuedKey, clock: Clock
) -> None:
    async def test() -> None:
        await ring.caller(issued.text)
        store.revoke(issued.key.id)
        clock.now += 4.0
        assert "revoked" in await _refused(ring, issued.text)

    asyncio.run(test())


def test_a_key_in_use_is_read_again_beside_the_request(
    ring: Keyring, watched: Watched, store: KeyStore, issued: IssuedKey, clock: Clock
) -> None:
    async def test() -> None:
        await ring.caller(issued.text)
        store.revoke(issued.key.id)
        clock.now += 3.0
        await ring.caller(issued.text)  # with what is held, while it is read again
        await ring.close()
        assert watched.lookups == [issued.key.id] * 2
        assert "revoked" in await _refused(ring, issued.text)

    asyncio.run(test())


def test_a_revocation_here_holds_at_once(ring: Keyring, store: KeyStore, issued: IssuedKey) -> None:
    async def test() -> None:
        await ring.caller(issued.text)
        store.revoke(issued.key.id)
        ring.forget(issued.key.id)
        assert "revoked" in await _refused(ring, issued.text)

    asyncio.run(test())


def test_what_was_read_before_a_revocation_is_not_held_after_it(
    ring: Keyring, watched: Watched, store: KeyStore, issued: IssuedKey
) -> None:
    has_read, may_answer = threading.Event(), threading.Event()

    def wait() -> None:
        has_read.set()
        assert may_answer.wait(30)

    async def test() -> None:
        watched.after_lookup = wait
        early = asyncio.create_task(ring.caller(issued.text))
        await asyncio.to_thread(has_read.wait, 30)
        watched.after_lookup = lambda: None
        store.revoke(issued.key.id)
        ring.forget(issued.key.id)
        may_answer.set()
        await early  # it came before the revocation
        assert "revoked" in await _refused(ring, issued.text)

    asyncio.run(test())


def test_a_secret_that_was_made_elsewhere_opens_at_once(
    ring: Keyring, watched: Watched, store: KeyStore, issued: IssuedKey, clock: Clock
) -> None:
    async def test() -> None:
        await ring.caller(issued.text)
        new = store.rotate(issued.key.id, 60.0)
        clock.now += 0.1
        await ring.caller(new.text)
        await ring.caller(issued.text)
        await _refused(ring, new_key(issued.key.id))

    asyncio.run(test())
    assert watched.lookups == [issued.key.id] * 2


def test_the_old_secret_ends_with_the_grace(
    ring: Keyring, store: KeyStore, issued: IssuedKey, clock: Clock
) -> None:
    async def test() -> None:
        new = store.rotate(issued.key.id, 60.0)
        clock.now += 59.9
        assert await ring.caller(issued.text) == await ring.caller(new.text)
        clock.now += 0.1
        await _refused(ring, issued.text)
        await ring.caller(new.text)

    asyncio.run(test())


def test_a_key_expires_while_it_is_held(ring: Keyring, store: KeyStore, clock: Clock) -> None:
    async def test() -> None:
        short = store.create(KeyRequest(tenant="acme", expires_in_s=1.0))
        await ring.caller(short.text)
        clock.now += 1.0
        assert "expired at 2027-01-15T08:00:01Z" in await _refused(ring, short.text)

    asyncio.run(test())


def test_a_database_that_fails_is_no_open_door(
    ring: Keyring,
    watched: Watched,
    issued: IssuedKey,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test() -> None:
        await ring.caller(issued.text)
        watched.fails = True
        clock.now += 3.9
        await ring.caller(issued.text)  # what is held is still young enough
        clock.now += 0.1
        with pytest.raises(StoreError):
            await ring.caller(issued.text)
        watched.fails = False
        await ring.caller(issued.text)
        await ring.close()

    with caplog.at_level(logging.WARNING):
        asyncio.run(test())
    assert "the disk is gone" in caplog.text
    assert issued.text not in caplog.text


def test_a_caller_that_leaves_takes_nobody_along(
    ring: Keyring, watched: Watched, issued: IssuedKey
) -> None:
    has_read, may_answer = threading.Event(), threading.Event()

    def wait() -> None:
        has_read.set()
        assert may_answer.wait(30)

    async def test() -> None:
        watched.after_lookup = wait
        leaving, staying = (asyncio.create_task(ring.caller(issued.text)) for _ in range(2))
        await asyncio.to_thread(has_read.wait, 30)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        may_answer.set()
        assert (await staying).key_id == issued.key.id

    asyncio.run(test())
    assert len(watched.lookups) == 1


def test_a_key_of_another_pepper_is_refused_and_the_log_says_why(
    ring: Keyring, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    foreign = KeyStore(database, Pepper(b"another pepper")).create(KeyRequest(tenant="acme"))
    asyncio.run(_refused(ring, foreign.text))
    assert f"key {foreign.key.id} was made under another pepper" in caplog.text
    assert foreign.text not in caplog.text


def test_limits_beyond_five_seconds_are_refused() -> None:
    for wrong in ({"use_within_s": 5.0}, {"refresh_after_s": 4.5}, {"rotation_grace_s": -1}):
        with pytest.raises(ValidationError):
            AccessConfig.model_validate(wrong)
