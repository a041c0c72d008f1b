"""Starts the Triton Inference Server from the package `nvidia-pytriton`."""

from __future__ import annotations

import ctypes.util
import resource
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from enginehouse.stack.process import ManagedProcess

from enginehouse.admin_token import ensure_admin_token
from enginehouse.errors import StackError
from enginehouse.settings import Addresses, Settings
from enginehouse.triton_control import closing_flags, triton_control_secret

_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_STACK_BYTES = 64 << 20


def start_triton(
    settings: Settings, addresses: Addresses, name: str, environ: Mapping[str, str]
) -> ManagedProcess:
    """Start one Triton, a replica of the fleet, with explicit model control and nothing loaded.

    Its control APIs require the secret of `enginehouse.triton_control`.

    Raises:
        StackError: if the server, its Python stub or libpython is missing.
        SettingsError: if the admin token cannot be read.
    """
    server = _server_dir()
    backends = _backend_directory(server, settings.home / "triton" / "backends")
    env = dict(environ)
    env["PATH"] = f"{Path(sys.executable).parent}:{env.get('PATH', '')}"
    env["LD_LIBRARY_PATH"] = ":".join(
        part for part in (_libpython_dir(), env.get("LD_LIBRARY_PATH", "")) if part
    )
    env["MLFLOW_DISABLE_TELEMETRY"] = "true"
    _raise_stack_limit()
    settings.model_repository_dir.mkdir(parents=True, exist_ok=True)
    argv = _argv(server, backends, settings, addresses)
    argv += closing_flags(triton_control_secret(ensure_admin_token(settings)))
    return ManagedProcess(name, argv, env, settings.logs_dir / f"{name}.log")


def _argv(server: Path, backends: Path, settings: Settings, at: Addresses) -> list[str]:
    return [
        str(server / "bin" / "tritonserver"),
        f"--model-repository={settings.model_repository_dir}",
        "--model-control-mode=explicit",
        f"--backend-directory={backends}",
        f"--cache-directory={server / 'caches'}",
        "--disable-auto-complete-config",
        f"--http-address={at.host}",
        f"--http-port={at.triton_http_port}",
        f"--grpc-address={at.host}",
        f"--grpc-port={at.triton_grpc_port}",
        f"--metrics-address={at.host}",
        f"--metrics-port={at.triton_metrics_port}",
        "--allow-gpu-metrics=false",
        "--exit-timeout-secs=5",
        "--log-verbose=0",
    ]


def _server_dir() -> Path:
    spec = find_spec("pytriton")
    if spec is None or spec.origin is None:
        raise StackError("Triton is missing: install the package nvidia-pytriton (`make up` does)")
    return Path(spec.origin).parent / "tritonserver"


def _backend_directory(server: Path, target: Path) -> Path:
    """Create a backend directory with the stub for the running Python beside the library."""
    stub = server / "python_backend_stubs" / _PYTHON / "triton_python_backend_stub"
    if not stub.exists():
        raise StackError(f"this Triton has no stub for Python {_PYTHON}: use Python 3.11 or 3.12")
    python = target / "python"
    python.mkdir(parents=True, exist_ok=True)
    shipped = server / "backends" / "python"
    for source in (
        shipped / "libtriton_python.so",
        shipped / "triton_python_backend_utils.py",
        stub,
    ):
        link = python / source.name
        # Another replica may be reading the link.
        if not link.is_symlink() or link.readlink() != source:
            link.unlink(missing_ok=True)
            link.symlink_to(source)
    return target


def _libpython_dir() -> str | None:
    """Directory in which the stub finds libpython.

    If the running interpreter is a shared build, its own libpython is used: the system's copy would
    run with the standard library of another patch level. Otherwise the system's is used.

    Raises:
        StackError: names the apt package if there is none.
    """
    libdir = sysconfig.get_config_var("LIBDIR")
    name = f"libpython{_PYTHON}.so.1.0"
    if sysconfig.get_config_var("Py_ENABLE_SHARED") and libdir and (Path(libdir) / name).exists():
        return str(libdir)
    if ctypes.util.find_library(f"python{_PYTHON}") is None:
        raise StackError(
            f"Triton's Python backend needs {name}: apt-get install libpython{_PYTHON}"
        )
    return None


def _raise_stack_limit() -> None:
    """Raise the stack limit for children: deep JSON overflows Triton's stack at 8 MiB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    wanted = _STACK_BYTES if hard == resource.RLIM_INFINITY else min(_STACK_BYTES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_STACK, (wanted, hard))


class LocalParts:
    """Finds the Python stubs of Tritons on this host by their gRPC ports."""

    def __init__(self) -> None:
        self._pids: dict[str, int] = {}

    def alive(self, grpc: str) -> frozenset[str] | None:
        """Parts with a living stub in the Triton that listens at ``host:port`` on this host.

        None if no such Triton runs here; liveness then has to be found by a probe.
        """
        host, _, port = grpc.rpartition(":")
        if host not in {"127.0.0.1", "localhost", "::1"}:
            return None
        pid = self._pids.get(port)
        if pid is None or not _is_triton(pid, port):
            pid = next((p for p in _all_pids() if _is_triton(p, port)), None)
            if pid is None:
                self._pids.pop(port, None)
                return None
            self._pids[port] = pid
        return frozenset(stub_pids(pid))


def _is_triton(pid: int, port: str) -> bool:
    argv = _argv_of(pid)
    return argv[0].endswith("tritonserver") and f"--grpc-port={port}" in argv


def _all_pids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())


def _argv_of(pid: int) -> list[str]:
    """Arguments of a process; one empty string if it is gone or a zombie."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return [""]


def stub_pids(triton_pid: int) -> dict[str, int]:
    """Model instance name → pid of its Python stub, among the children of a Triton."""
    found = {}
    for pid in _all_pids():
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if int(stat.rpartition(")")[2].split()[1]) == triton_pid:
            argv = _argv_of(pid)
            if argv[0].endswith("triton_python_backend_stub"):
                found[_instance_of(argv)] = pid
    return found


def _instance_of(argv: list[str]) -> str:
    """Model of a stub: its first argument is the path of the version's `model.py`."""
    model_file = next((a for a in argv[1:] if a.endswith("model.py")), "")
    path = Path(model_file)
    return f"{path.parent.parent.name}/{path.parent.name}" if model_file else " ".join(argv[1:2])
