"""The audit trail: entries taken at once, written by a thread of their own. Owns what waits to be written, bounded;
must never hold up who tells it something."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from lf6gateway.disk.audit_file import AuditFile
from lf6gateway.disk.offload import Offload
from lf6gateway.services.heartbeat import Heartbeat
from lf6gateway.values.audit_entry import audit_line

_log = Logger()

MOST: Final = 50_000
"""Entries that may wait; where the disk takes none for long, further ones are lost, and counted."""
AT_ONCE: Final = 1_000
RETRY: Final = 5.0
"""Seconds until what could not be written is tried again."""


class AuditTrail:
    """Writes entries in the order they are told.

    :param offload: one thread, where the file is written.
    """

    def __init__(self, path: str, *, clock: Any, offload: Offload, now_ns: Callable[[], int]) -> None:
        self._path = path
        self._file = AuditFile(path)
        self._offload = offload
        self._now_ns = now_ns
        self._waiting: deque[tuple[str, int, Mapping[str, Any]]] = deque()
        self._writing: Deferred[None] | None = None
        self._unwritten = False
        self._retry = Heartbeat(clock, f"writing the audit trail to {path}", self._again, RETRY)
        self.lost = 0
        """Entries that were never written."""
        self._untold = 0

    async def start(self) -> None:
        """Open the file.

        :raises OSError: it cannot be opened.
        """
        await self._offload(self._file.open)
        self._retry.start(now=False)

    def tell(self, event: str, fields: Mapping[str, Any]) -> None:
        """Something happened."""
        if len(self._waiting) >= MOST:
            self.lost += 1
            self._untold += 1
            return
        if self._untold:
            self._waiting.append(("lost", self._now_ns(), {"count": self._untold}))
            self._untold = 0
        self._waiting.append((event, self._now_ns(), fields))
        if self._writing is None and not self._unwritten:
            self._begin()

    def _begin(self) -> None:
        writing = Deferred.fromCoroutine(self._write())
        if not writing.called:
            self._writing = writing
        writing.addBoth(self._written)

    def _written(self, result: object) -> None:
        self._writing = None
        if result is not None:
            self._unwritten = True
            _log.error(
                "the audit trail {path} cannot be written, entries wait: {error}",
                path=self._path,
                error=str(getattr(result, "value", result)),
            )
        elif self._waiting:
            self._begin()

    async def _write(self) -> None:
        while self._waiting:
            batch = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
            await self._offload(lambda batch=batch: self._file.append(b"".join(audit_line(*one) for one in batch)))  # type: ignore[misc]

    async def _again(self) -> None:
        """What could not be written, and the file's name where it was renamed away."""
        if self._writing is not None:
            return
        await self._offload(lambda: self._file.append(b""))
        self._unwritten = False
        if self._waiting and self._writing is None:
            self._begin()

    async def reopen(self) -> None:
        """The file was renamed away: go on with a new one."""
        await self._again()

    async def stop(self) -> None:
        """Write what waits, and close the file."""
        await self._retry.stop()
        if self._writing is not None:
            writing = self._writing
            done: Deferred[None] = Deferred()
            writing.addBoth(lambda result: done.callback(None))
            await done
        try:
            await self._offload(lambda: self._file.append(b""))
            await self._write()
        except OSError as error:
            _log.error(
                "{count} entries of the audit trail {path} could not be written: {error}",
                count=len(self._waiting),
                path=self._path,
                error=str(error),
            )
        await self._offload(self._file.close)
