"""A file that is read in threads by somebody who may give it up meanwhile. Owns its descriptor, which is closed once,
and not under a read that is still running: the number could be another file's by then."""

from __future__ import annotations

import os
from threading import Lock


class OpenFile:
    """See the module.

    :param descriptor: is this one's from now on.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = Lock()
        self._reading = 0
        self._closing = False

    def read(self, size: int, offset: int) -> bytes:
        """Some bytes from a place in it; none at its end, or when it is closed. Blocks."""
        with self._lock:
            if self._closing:
                return b""
            self._reading += 1
        try:
            return os.pread(self._descriptor, size, offset)
        finally:
            self._read()

    def _read(self) -> None:
        with self._lock:
            self._reading -= 1
            last = self._closing and not self._reading
        if last:
            os.close(self._descriptor)

    def close(self) -> None:
        """Let go of it, as soon as nobody reads it."""
        with self._lock:
            now = not self._closing and not self._reading
            self._closing = True
        if now:
            os.close(self._descriptor)

    def __del__(self) -> None:
        # Opened for somebody who had given up before it was.
        self.close()
