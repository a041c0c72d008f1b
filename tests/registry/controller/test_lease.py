from __future__ import annotations

import socket

from enginehouse.registry import Registry
from enginehouse.registry.controller.lease import Lease

from enginehouse.settings import Settings

_LONG_S = 60.0


def _tag(registry: Registry, lease: Lease, key: str, value: str) -> None:
    with registry.session() as client:
        client.set_model_version_tag("enginehouse.lease", str(lease.epoch), key, value)


def test_of_two_bidders_one_holds_and_the_other_follows(own: Registry, settings: Settings) -> None:
    first = Lease(own, "http://first", _LONG_S)
    second = Lease(Registry(settings), "http://second", _LONG_S)
    assert first.acquire()
    assert not second.acquire()
    holder = second.holder()
    assert holder is not None
    assert (holder.url, holder.epoch) == ("http://first", first.epoch)
    first.release()
    assert second.acquire()
    assert second.epoch > holder.epoch
    assert not first.acquire()


def test_an_expired_lease_is_taken_over_and_its_holder_notices(
    own: Registry, settings: Settings
) -> None:
    first = Lease(own, "http://first", _LONG_S)
    assert first.acquire()
    _tag(own, first, "enginehouse.expires", "0")
    first._valid_until = 0.0
    assert not first.held
    second = Lease(Registry(settings), "http://second", _LONG_S)
    assert second.acquire()
    assert not first.acquire()


def test_the_lease_of_a_process_that_ended_here_is_void(own: Registry, settings: Settings) -> None:
    dead = Lease(own, "http://dead", _LONG_S)
    assert dead.acquire()
    _tag(own, dead, "enginehouse.holder", f"{socket.gethostname()}:999999999:1.00")
    assert Lease(Registry(settings), "http://next", _LONG_S).acquire()


def test_the_lease_is_no_model_to_serve(own: Registry) -> None:
    assert Lease(own, "http://first", _LONG_S).acquire()
    assert own.models() == []


def test_environments_have_leases_of_their_own(settings: Settings) -> None:
    def lease(environment: str) -> Lease:
        found = Settings(home=settings.home, environment=environment)
        return Lease(Registry(found), f"http://{environment}", _LONG_S)

    assert lease("staging").acquire()
    assert lease("production").acquire()
