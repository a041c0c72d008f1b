"""`stop` reaches the instance that has the request, whichever instance was asked.

Triton gives a request to any instance of a model, and a `stop` is a request of its own. Instances
of one version tell each other over datagram sockets in a directory that only their user can
enter; a message is a request id.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from enginehouse.private_directory import private_directory

_MAX_ID_BYTES = 4096


class StopRelay:
    """One instance's end."""

    def __init__(self, group: str, index: int, cancel: Callable[[str], int]) -> None:
        """Listen.

        Args:
            group: the same text for all instances of a version.
            index: which of them this is.
            cancel: ends the requests with an id here.

        Raises:
            SettingsError: if the directory is not this user's alone.
        """
        self._cancel = cancel
        self._prefix = hashlib.sha256(group.encode()).hexdigest()[:16]
        self._directory = private_directory(
            Path(tempfile.gettempdir()) / f"enginehouse-{os.getuid()}"
        )
        self._path = self._directory / f"{self._prefix}-{index}.sock"
        self._path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self._path))
        self._thread = threading.Thread(target=self._listen, name="stop-relay", daemon=True)
        self._thread.start()

    def send(self, request_id: str) -> None:
        """Tell the other instances; one that is gone has nothing to stop."""
        message = request_id.encode()[:_MAX_ID_BYTES]
        for path in self._directory.glob(f"{self._prefix}-*.sock"):
            if path != self._path:
                with contextlib.suppress(ConnectionRefusedError, FileNotFoundError):
                    self._socket.sendto(message, str(path))

    def close(self) -> None:
        """Listen no more."""
        self._path.unlink(missing_ok=True)
        # Closing alone would not wake the thread that waits for a message.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        while message := self._socket.recv(_MAX_ID_BYTES):
            self._cancel(message.decode(errors="replace"))
