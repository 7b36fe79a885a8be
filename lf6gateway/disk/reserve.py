"""Room on the disk that nobody else can take: a file that is given up when the disk is full, so that what was taken can
still be sealed, shipped and removed. Owns that file and when it is given up; must never be counted as the spool's."""

from __future__ import annotations

import errno
import os
from typing import Final, Protocol

from lf6gateway.disk.filesystem import FILE_MODE, Room
from lf6gateway.values.size import MIB

NAME: Final = "reserve"
MOST: Final = 64 * MIB
"""As much as a segment, which sealing writes anew, has by default."""


class Reserve(Protocol):
    """Room held back."""

    def tend(self, room: Room, floor: int) -> bool:
        """Give it up, or take it back, as the room that is left says. Blocks.

        :param floor: what the disk is to keep free besides.
        :returns: whether anything changed, so that there is other room now.
        :raises OSError: the disk failed.
        """


class NoReserve:
    """None is held."""

    def tend(self, room: Room, floor: int) -> bool:
        """Nothing to do."""
        return False


def size_for(floor: int) -> int:
    """How much is held back where ``floor`` bytes are to stay free: a quarter of that, within bounds."""
    return min(floor // 4, MOST)


class FileReserve:
    """Blocks of a file in the cache directory.

    :param folder: the cache directory.
    """

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, NAME)

    @property
    def held(self) -> int:
        """How many bytes are held back now."""
        try:
            return os.stat(self._path).st_size
        except FileNotFoundError:
            return 0

    def tend(self, room: Room, floor: int) -> bool:
        """See ``Reserve``. It is given up when less is left than it holds, and taken back only where data are taken
        again, too."""
        held, wanted = self.held, size_for(floor)
        if held and room.free_bytes < held:
            os.unlink(self._path)
            return True
        if held != wanted and room.free_bytes + held - wanted >= floor:
            self._hold(wanted)
            return True
        return False

    def _hold(self, size: int) -> None:
        descriptor = os.open(
            self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE
        )
        try:
            if size:
                os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            os.unlink(self._path)
            if error.errno != errno.ENOSPC:  # somebody else was quicker
                raise
        finally:
            os.close(descriptor)
