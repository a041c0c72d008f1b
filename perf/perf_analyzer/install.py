"""Finds perf_analyzer, or installs it.

NVIDIA's container has it on PATH. Elsewhere its wheel is fetched, pinned by sha256. It needs glibc
2.38; on an older Debian it runs with a newer loader and libraries that are unpacked beside it.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

import httpx

from enginehouse.errors import SettingsError, StackError
from enginehouse.settings import MeasurementSettings, read

VERSION = "2.60.0"
MIRROR_VARIABLE = "ENGINEHOUSE_DEBIAN_MIRROR"
_GLIBC = (2, 38)
_WHEEL_PLATFORM = "manylinux_2_38_x86_64"
_FETCH_TIMEOUT_S = 120.0

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class DebianPackage:
    """A package of Debian 13 that the binary needs; `path` is relative to the mirror's root."""

    path: str
    sha256: str


_PACKAGES = (
    DebianPackage(
        "pool/main/g/glibc/libc6_2.41-12+deb13u4_amd64.deb",
        "967aa62605721081c3eb2a17650611a792aa802d76a6511d1840242623d204c9",
    ),
    DebianPackage(
        "pool/main/g/gcc-14/libstdc++6_14.2.0-19_amd64.deb",
        "ab1fa05837aa7a92aae748fd07a18a35f7d18bb4a71c4724fe2bbf0e32089de0",
    ),
    DebianPackage(
        "pool/main/g/gcc-14/libgcc-s1_14.2.0-19_amd64.deb",
        "3c71917b490d1a17aed43196a2787a256ecf060526cdb20216a74bedc061b150",
    ),
    DebianPackage(
        "pool/main/o/openssl/libssl3t64_3.5.7-1~deb13u2_amd64.deb",
        "916f7f40b34a06e6ebfaefcdab331bff458328411da672598f126a760472467d",
    ),
    DebianPackage(
        "pool/main/z/zlib/zlib1g_1.3.dfsg+really1.3.1-1+b1_amd64.deb",
        "015be740d6236ad114582dea500c1d907f29e16d6db00566ca32fb68d71ac90d",
    ),
)
_LIBRARIES = "usr/lib/x86_64-linux-gnu"


@dataclass(frozen=True, slots=True)
class PerfAnalyzer:
    """A perf_analyzer that runs on this host.

    Attributes:
        argv: the command without its options.
        origin: its source, for reports.
    """

    argv: tuple[str, ...]
    origin: str

    def version(self) -> str:
        """The version that it prints.

        Raises:
            StackError: if it does not run.
        """
        try:
            done = subprocess.run(
                [*self.argv, "--version"], capture_output=True, text=True, timeout=60, check=False
            )
        except OSError as error:
            raise StackError(f"{self.argv[0]} does not run: {error}") from error
        said = (done.stdout + done.stderr).strip()
        if done.returncode:
            raise StackError(f"{self.argv[0]} does not run: {said}")
        return said


def find(tools: Path) -> PerfAnalyzer | None:
    """The perf_analyzer on PATH, or the one that `install` put into `tools`; None if neither."""
    own = shutil.which("perf_analyzer")
    if own is not None:
        return PerfAnalyzer((own,), "PATH")
    return _installed(_home(tools))


def install(tools: Path, environ: Mapping[str, str], report: Report) -> PerfAnalyzer:
    """Install it below `tools` if it is not there; downloads are verified by sha256.

    Raises:
        StackError: if this machine cannot run it, or a download fails or is not the pinned one.
        SettingsError: if no Debian mirror is known.
    """
    found = find(tools)
    if found is not None:
        return found
    if platform.machine() != "x86_64":
        raise StackError(
            f"perf_analyzer has no binary for {platform.machine()}: put one on PATH, or use "
            "`--driver enginehouse`"
        )
    home = _home(tools)
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent) as scratch:
        part = Path(scratch) / "part"
        part.mkdir()
        report(f"fetching perf_analyzer {VERSION} (7 MB)")
        _unpack_wheel(part)
        if _glibc() < _GLIBC:
            report("fetching a newer loader for it (6 MB); nothing of the system is changed")
            _unpack_loader(part, _mirror(environ))
        found = _installed(part)
        if found is None:
            raise StackError(f"perf_analyzer {VERSION}: the wheel has no binary where it was")
        found.version()
        part.replace(home)
    return PerfAnalyzer(_argv(home), f"wheel {VERSION}")


def required(tools: Path) -> PerfAnalyzer:
    """The installed perf_analyzer.

    Raises:
        StackError: if it is not installed; says how to install it.
    """
    found = find(tools)
    if found is None:
        raise StackError(
            "perf_analyzer is neither on PATH nor installed: `enginehouse perf install` fetches "
            "it, or use `--driver enginehouse`"
        )
    return found


def _home(tools: Path) -> Path:
    return tools / f"perf_analyzer-{VERSION}"


def _installed(home: Path) -> PerfAnalyzer | None:
    binary = home / "perf_analyzer" / "bin" / "perf_analyzer"
    return PerfAnalyzer(_argv(home), f"wheel {VERSION}") if binary.exists() else None


def _argv(home: Path) -> tuple[str, ...]:
    binary = str(home / "perf_analyzer" / "bin" / "perf_analyzer")
    libraries = home / "loader" / _LIBRARIES
    if not libraries.is_dir():
        return (binary,)
    loader = str(libraries / "ld-linux-x86-64.so.2")
    return (loader, "--library-path", str(libraries), binary)


def _glibc() -> tuple[int, int]:
    name, text = platform.libc_ver()
    found = re.match(r"(\d+)\.(\d+)", text)
    if name != "glibc" or found is None:
        raise StackError(f"perf_analyzer needs glibc; this system has {name or 'another'} {text}")
    return int(found[1]), int(found[2])


def _unpack_wheel(target: Path) -> None:
    with (
        tempfile.TemporaryDirectory() as scratch,
        as_file(files("enginehouse.perf.perf_analyzer") / "requirements.txt") as pinned,
    ):
        # Name the platform, because pip refuses the wheel for an older glibc.
        argv = [sys.executable, "-m", "pip", "download", "--quiet", "--require-hashes", "--no-deps",
                "--disable-pip-version-check", "--only-binary=:all:", "--platform",
                _WHEEL_PLATFORM, "--dest", scratch, "--requirement", str(pinned)]  # fmt: skip
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        wheels = list(Path(scratch).glob("*.whl"))
        if done.returncode or not wheels:
            said = done.stderr.strip().splitlines()[-1:] or ["pip said nothing"]
            raise StackError(f"perf_analyzer's wheel could not be fetched: {said[0]}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            wheel.extractall(target)
    (target / "perf_analyzer" / "bin" / "perf_analyzer").chmod(0o755)


def _unpack_loader(target: Path, mirror: str) -> None:
    if shutil.which("dpkg-deb") is None:
        raise StackError(
            f"perf_analyzer needs glibc {_GLIBC[0]}.{_GLIBC[1]}; a newer loader is unpacked with "
            "dpkg-deb, which this system lacks: use NVIDIA's container"
        )
    with tempfile.TemporaryDirectory() as scratch:
        for package in _PACKAGES:
            file = Path(scratch) / "package.deb"
            file.write_bytes(_fetch(f"{mirror}/{package.path}", package.sha256))
            argv = ["dpkg-deb", "--extract", str(file), str(target / "loader")]
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            if done.returncode:
                raise StackError(f"{package.path}: {done.stderr.strip()}")


def _fetch(url: str, sha256: str) -> bytes:
    try:
        answer = httpx.get(url, timeout=_FETCH_TIMEOUT_S, follow_redirects=True)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise StackError(
            f"{url}: {error}. Mirrors drop a package when Debian replaces it: name one that keeps "
            f"old versions in {MIRROR_VARIABLE}, or use the vendor's container"
        ) from error
    if hashlib.sha256(answer.content).hexdigest() != sha256:
        raise StackError(f"{url} is not the pinned file: its sha256 differs")
    return answer.content


def _mirror(environ: Mapping[str, str]) -> str:
    """The Debian mirror of the environment variable, or the one that apt uses on this machine."""
    named = read(MeasurementSettings, environ).debian_mirror
    if named is not None:
        return named.rstrip("/")
    apt = Path(os.environ.get("APT_CONFIG_DIR", "/etc/apt"))
    lists = [apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))]
    text = "\n".join(file.read_text("utf-8") for file in lists if file.is_file())
    for line in text.splitlines():
        found = re.search(r"^\s*(?:URIs:|deb\s)[^#]*?(https?://\S+/debian)/?(?:\s|$)", line)
        if found is not None:
            return found[1]
    raise SettingsError(
        f"no Debian mirror in {apt}: name one in {MIRROR_VARIABLE} (perf_analyzer needs a newer "
        "glibc than this system's), or use `--driver enginehouse`"
    )
