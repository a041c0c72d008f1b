from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from enginehouse.perf.peers.environment import ensure_environment, reason_in, requirements_file
from enginehouse.perf.peers.peer import Peer, PeerCheckpoint, Place
from enginehouse.perf.peers.roster import OURS, PEERS
from enginehouse.perf.peers.sides import shown

_PIN = re.compile(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.]+")


@pytest.mark.parametrize("peer", [p for p in PEERS if p.own_environment], ids=lambda p: p.name)
def test_every_package_of_a_peer_is_pinned(peer: Peer) -> None:
    lines = requirements_file(peer).read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert all(_PIN.fullmatch(pin) for pin in pins)
    assert peer.package in {pin.partition("==")[0] for pin in pins}


def test_a_peer_without_an_environment_of_its_own_runs_on_ours(tmp_path: Path) -> None:
    assert ensure_environment(OURS, tmp_path / "home") == Path(sys.executable)
    assert not (tmp_path / "home").exists()


def test_the_reason_is_the_installers_last_error_in_one_line() -> None:
    log = "Collecting x\nERROR: first\nERROR: No matching distribution found for x==1\nnotice\n"
    assert reason_in(log) == "ERROR: No matching distribution found for x==1"
    assert reason_in("") == "the installer said nothing"


@pytest.mark.parametrize("peer", [OURS, *PEERS], ids=lambda p: p.name)
def test_a_server_listens_on_the_loopback_and_its_command_shows_no_path(
    peer: Peer, tmp_path: Path
) -> None:
    checkpoint = PeerCheckpoint(tmp_path / "b", tmp_path / "m.gguf", tmp_path / "hf")
    place = Place(tmp_path / "venv" / "bin" / "python", tmp_path / "home", 45678, checkpoint)
    launch = peer.launch(place)
    command = " ".join(shown(launch.argv, place))
    assert str(tmp_path) not in command
    assert "0.0.0.0" not in command
    assert "45678" in " ".join([*launch.argv, *launch.env.values()])


@pytest.mark.parametrize("peer", [OURS, *PEERS], ids=lambda p: p.name)
def test_everybody_is_asked_the_same(peer: Peer, tmp_path: Path) -> None:
    checkpoint = PeerCheckpoint(tmp_path, tmp_path, tmp_path)
    place = Place(tmp_path, tmp_path, 1, checkpoint)
    body = peer.dialect(place).body([{"role": "user", "content": "Hello"}], 7)
    wanted = {"max_tokens": 7, "temperature": 0, "stream": True}
    assert body.items() >= wanted.items()
    assert body.keys() & {"ignore_eos", "generation_config"}
