"""What users have sent today, kept over a restart. Owns its file; must never decide what is too much."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from lf6gateway.disk.durable import read_small, replace_file
from lf6gateway.disk.filesystem import FileSystem
from lf6gateway.disk.offload import Offload
from lf6gateway.services.heartbeat import Heartbeat
from lf6gateway.values.daily import Daily, as_text

_log = Logger()

INTERVAL: Final = 10.0
"""Seconds between two writings: what a crash can forget."""


class QuotaFile:
    """Reads the counts at the start, and writes them when they have changed.

    :param path: the file.
    :param offload: where it is read and written.
    """

    def __init__(
        self, path: str, daily: Daily, *, fs: FileSystem, offload: Offload, clock: Any, now_s: Callable[[], float]
    ) -> None:
        self._path = path
        self._daily = daily
        self._fs = fs
        self._offload = offload
        self._now_s = now_s
        self._heartbeat = Heartbeat(clock, f"writing down what users have sent today in {path}", self.write, INTERVAL)

    async def start(self) -> None:
        """Take over what is written there of today; one that cannot be read counts as nothing, and is told."""
        try:
            text = (await self._offload(lambda: read_small(self._fs, self._path))).decode()
            self._daily.restore(text, self._now_s())
        except FileNotFoundError:
            _log.debug("{path} is not there yet: nobody has sent anything today", path=self._path)
        except (OSError, ValueError) as error:
            _log.error(
                "what users have sent today could not be read from {path}, so that all begin the day anew: {error}",
                path=self._path,
                error=str(error),
            )
        self._heartbeat.start(now=False)

    async def write(self) -> None:
        """Write the counts down, if they have changed."""
        if not self._daily.changed:
            return
        day, used = self._daily.snapshot()
        try:
            await self._offload(lambda: replace_file(self._fs, self._path, as_text(day, used).encode()))
        except BaseException:
            self._daily.changed = True
            raise

    async def stop(self) -> None:
        """Write them a last time."""
        stopping: Deferred[None] = self._heartbeat.stop()
        await stopping
        try:
            await self.write()
        except OSError as error:
            _log.error(
                "what users have sent today could not be written to {path}: {error}", path=self._path, error=str(error)
            )
