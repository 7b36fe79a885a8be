"""The audit trail on disk: whole lines at the end of a file, which others may rename away at any time. Owns that file's
descriptor; must never know what a line says. All calls block."""

from __future__ import annotations

import os

from lf6gateway.disk.filesystem import FILE_MODE


class AuditFile:
    """Appends to a file, private to its owner.

    Several processes may append to it, as each line goes out in one write. Where the name leads to another file than
    the one that is open, or to none, the next line goes to a new one.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = -1
        self._rest = b""

    def open(self) -> None:
        """Open the file, if it is not the one that is open already.

        :raises OSError: it cannot be opened.
        """
        if self._descriptor >= 0 and not self._renamed():
            return
        self.close()
        flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            self._descriptor = os.open(self._path, flags)
        except FileNotFoundError:
            self._descriptor = os.open(self._path, flags | os.O_CREAT, FILE_MODE)
            folder = os.stat(os.path.dirname(self._path))
            if os.geteuid() == 0 and folder.st_uid != 0:
                os.fchown(self._descriptor, folder.st_uid, folder.st_gid)  # the gateway must be able to go on with it

    def _renamed(self) -> bool:
        own = os.fstat(self._descriptor)
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return True
        return (found.st_dev, found.st_ino) != (own.st_dev, own.st_ino)

    def append(self, lines: bytes) -> None:
        """Append whole lines. What fails on the way is gone on with by the next call, which must be given the lines
        after these.

        :raises OSError: some of it could not be written yet.
        """
        self._rest += lines
        self.open()
        while self._rest:
            written = os.write(self._descriptor, self._rest)
            self._rest = self._rest[written:]

    def close(self) -> None:
        """Release the descriptor; closing twice is no error."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
