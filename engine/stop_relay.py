"""Forwards a `stop` to the other instances of a version.

A `stop` is a request of its own, and Triton may give it to another instance than the request that
it should end. The instances of a version therefore forward it over datagram sockets, in a directory
that only their user can enter. A message is a request id.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

from enginehouse.private_directory import private_directory
from enginehouse.supervision import start_thread

_MAX_ID_BYTES = 4096


class StopRelay:
    """The socket of one instance."""

    def __init__(self, group: str, index: int, cancel: Callable[[str], int]) -> None:
        """Start to listen.

        Args:
            group: identifies the version; equal for all its instances.
            index: number of this instance.
            cancel: ends the requests with an id in this instance.

        Raises:
            SettingsError: if other users can enter the directory.
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
        self._thread = start_thread("stop-relay", self._listen)

    def send(self, request_id: str) -> None:
        """Send a request id to the other instances. Instances that have ended are skipped."""
        message = request_id.encode()[:_MAX_ID_BYTES]
        for path in self._directory.glob(f"{self._prefix}-*.sock"):
            if path != self._path:
                with contextlib.suppress(ConnectionRefusedError, FileNotFoundError):
                    self._socket.sendto(message, str(path))

    def close(self) -> None:
        """Stop listening and remove the socket."""
        self._path.unlink(missing_ok=True)
        # `close` alone does not wake a thread that is blocked in `recv`.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        while message := self._socket.recv(_MAX_ID_BYTES):
            self._cancel(message.decode(errors="replace"))
