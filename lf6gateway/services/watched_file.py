"""A file that is read again when it has changed. Owns the looking; must never understand what is in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from lf6gateway.disk.offload import Offload
from lf6gateway.services.heartbeat import Heartbeat

T = TypeVar("T")
_log = Logger()

INTERVAL: Final = 2.0
"""Seconds between two looks."""

Seen = tuple[tuple[int, int, int, int], ...]


class WatchedFile(Generic[T]):
    """What some files say together, kept up to date.

    A version that cannot be read or understood is reported once, and the one before it counts on.

    :param what: what they are, for the log: «the tokens file /etc/…».
    :param paths: the files.
    :param read: reads and understands them; runs in a thread.
    :param changed: told of each new version but the first.
    """

    def __init__(
        self,
        what: str,
        paths: Sequence[str],
        read: Callable[[], T],
        changed: Callable[[T], None],
        *,
        clock: Any,
        offload: Offload,
        interval: float = INTERVAL,
    ) -> None:
        self._what = what
        self._paths = paths
        self._read = read
        self._changed = changed
        self._offload = offload
        self._seen: Seen | None = None
        self._heartbeat = Heartbeat(clock, f"looking whether {what} has changed", self.look, interval)

    async def begin(self) -> T:
        """The first version; from now on it is watched.

        :raises Exception: it cannot be read or understood.
        """
        self._seen, value = await self._offload(lambda: (_look(self._paths), self._read()))
        self._heartbeat.start(now=False)
        return value

    async def look(self) -> None:
        """Read the files again if they are not as they were."""
        await self._again(force=False)

    async def reread(self) -> None:
        """Read the files again in any case."""
        await self._again(force=True)

    async def _again(self, *, force: bool) -> None:
        # The look comes before the reading: what changes in between is read again at the next look.
        seen = await self._offload(lambda: _look(self._paths))
        if seen == self._seen and not force:
            return
        self._seen = seen
        try:
            value = await self._offload(self._read)
        except (OSError, ValueError) as error:
            _log.error(
                "{what} is not taken over, what it said before counts on: {error}", what=self._what, error=str(error)
            )
            return
        self._changed(value)

    def stop(self) -> Deferred[None]:
        """Look no more."""
        return self._heartbeat.stop()


def _look(paths: Sequence[str]) -> Seen:
    found = []
    for path in paths:
        try:
            one = os.stat(path)
        except OSError as error:
            found.append((0, 0, 0, error.errno or 1))
        else:
            found.append((one.st_mtime_ns, one.st_size, one.st_ino, 0))
    return tuple(found)
