from __future__ import annotations

import threading

from enginehouse.engine.stop_relay import StopRelay


class Stops:
    def __init__(self) -> None:
        self.ids: list[str] = []
        self.came = threading.Event()

    def __call__(self, request_id: str) -> int:
        self.ids.append(request_id)
        self.came.set()
        return 1


def test_a_stop_reaches_the_other_instances_of_its_version_only() -> None:
    here, there, elsewhere = Stops(), Stops(), Stops()
    relays = [
        StopRelay("m/1", 0, here),
        StopRelay("m/1", 1, there),
        StopRelay("m/2", 0, elsewhere),
    ]
    relays[0].send("request-é")
    assert there.came.wait(10)
    assert there.ids == ["request-é"]
    relays[1].close()
    relays[0].send("nobody")
    for relay in (relays[0], relays[2]):
        relay.close()
    assert here.ids == elsewhere.ids == []
