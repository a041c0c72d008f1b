"""Starting the Triton Inference Server that the package `nvidia-pytriton` ships."""

from __future__ import annotations

import ctypes.util
import resource
import sys
import sysconfig
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from enginehouse.errors import StackError
from enginehouse.settings import Settings
from enginehouse.stack.process import ManagedProcess

_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_STACK_BYTES = 64 << 20


def start_triton(settings: Settings, environ: Mapping[str, str]) -> ManagedProcess:
    """Start Triton with explicit model control and nothing loaded.

    Raises:
        StackError: if the server, its Python stub or libpython is missing.
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
    argv = _argv(server, backends, settings)
    return ManagedProcess("triton", argv, env, settings.logs_dir / "triton.log")


def _argv(server: Path, backends: Path, settings: Settings) -> list[str]:
    at = settings.addresses
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
    """A backend directory of our own, with the stub of the running Python beside the library."""
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
        link.unlink(missing_ok=True)
        link.symlink_to(source)
    return target


def _libpython_dir() -> str | None:
    """Where the stub finds libpython.

    The running interpreter's own when it is a shared build: the system's copy would run with
    another patch level's standard library. Otherwise the system's.

    Raises:
        StackError: naming the apt package if there is none.
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
    """Deep JSON overflows Triton's stack at the usual 8 MiB; children inherit the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    wanted = _STACK_BYTES if hard == resource.RLIM_INFINITY else min(_STACK_BYTES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_STACK, (wanted, hard))


def stub_pids(triton_pid: int) -> dict[str, int]:
    """Model instance name → pid of its Python stub, among the children of a Triton."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            argv = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except (OSError, ValueError):
            continue
        if parent == triton_pid and argv and argv[0].endswith("triton_python_backend_stub"):
            found[_instance_of(argv)] = int(entry.name)
    return found


def _instance_of(argv: list[str]) -> str:
    """The stub's model: its first argument is the path of the version's `model.py`."""
    model_file = next((a for a in argv[1:] if a.endswith("model.py")), "")
    path = Path(model_file)
    return f"{path.parent.parent.name}/{path.parent.name}" if model_file else " ".join(argv[1:2])
