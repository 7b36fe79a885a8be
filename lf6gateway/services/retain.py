"""What has to be done now and then whatever comes in: idempotency keys are forgotten when their hour is over, in memory
and on disk, the disk's room is looked up and some of it held back, and a disk that failed is tried again. Owns when;
must never remove anything but such keys."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from lf6gateway.disk.durable import try_write
from lf6gateway.disk.filesystem import FileSystem, Room
from lf6gateway.disk.offload import Offload
from lf6gateway.disk.reserve import NoReserve, Reserve
from lf6gateway.disk.space import Space
from lf6gateway.services.heartbeat import Heartbeat

_log = Logger()

KEYS_EVERY: Final = 60.0
"""Seconds between two rounds over the keys."""
ROOM_EVERY: Final = 1.0
"""Seconds between two looks at the disk."""
TRIAL_EVERY: Final = 5.0
"""Seconds between two trials of a disk that failed. Requests would try it too, but a load balancer that goes by
``/ready`` sends none."""
TRIAL: Final = "trial.tmp"


class RetainService(Service):
    """Each of its tasks is a loop of its own, so that one that fails or hangs keeps none of the others from its round.

    :param now_ns: the wall clock, nanoseconds since 1970.
    :param offload: runs what touches the disk; two threads, so that a long round over the keys delays no look at the
        disk.
    :param path: the folder whose disk is looked at.
    :param space: is told what room there is.
    :param reserve: is tended to at each look.
    :param drop: what removes old keys from disk, by a name for the log: each is called with the present moment, may
        block, and returns how many files it removed.
    :param expire: forgets old keys in memory; called in the reactor with the present moment.
    """

    def __init__(
        self,
        *,
        clock: IReactorTime,
        now_ns: Callable[[], int],
        offload: Offload,
        fs: FileSystem,
        path: str,
        space: Space,
        drop: Mapping[str, Callable[[int], int]],
        expire: Callable[[int], object],
        reserve: Reserve | None = None,
        keys_every: float = KEYS_EVERY,
        room_every: float = ROOM_EVERY,
    ) -> None:
        self.setName("retain")
        self._now_ns = now_ns
        self._offload = offload
        self._fs = fs
        self._path = path
        self._space = space
        self._reserve = reserve or NoReserve()
        self._expire = expire
        self.dropped = 0
        """Key files removed."""
        self._room = Heartbeat(clock, f"looking up the room on the disk of {path}", self._look, room_every)
        self._trial = Heartbeat(clock, "trying the disk that failed", self._try, TRIAL_EVERY)
        self._keys = [Heartbeat(clock, "forgetting old idempotency keys", self._forget, keys_every)]
        for what, work in drop.items():
            self._keys.append(Heartbeat(clock, f"removing {what}", self._dropper(what, work), keys_every))

    @property
    def failures(self) -> int:
        """Rounds that failed, of all tasks."""
        return self._room.failures + self._trial.failures + sum(beat.failures for beat in self._keys)

    @property
    def failing(self) -> bool:
        """Whether the last round of any task failed."""
        return self._room.failing or any(beat.failing for beat in self._keys)

    def startService(self) -> None:
        """Begin, with a look at the disk."""
        super().startService()
        self._room.start(now=True)
        self._trial.start(now=False)
        for beat in self._keys:
            beat.start(now=False)

    def stopService(self) -> Deferred[None]:
        """End; fires when the rounds under way are over. Cancelling it lets them go."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        ended = [beat.stop() for beat in (self._room, self._trial, *self._keys)]
        try:
            for each in ended:
                await each
        finally:
            for each in ended:
                each.cancel()

    def _look(self) -> Deferred[None]:
        floor = self._space.min_free_bytes
        return self._offload(lambda: self._room_left(floor)).addCallback(self._space.note_room)

    def _room_left(self, floor: int) -> Room:
        room = self._fs.room(self._path)
        return self._fs.room(self._path) if self._reserve.tend(room, floor) else room

    def clean(self) -> None:
        """Remove what a trial that was cut short left behind. Blocks."""
        path = os.path.join(self._path, TRIAL)
        if self._fs.exists(path):
            self._fs.unlink(path)

    async def _try(self) -> None:
        if self._space.failing:
            path = os.path.join(self._path, TRIAL)
            await self._offload(lambda: try_write(self._fs, path))
            self._space.note_success()
            _log.info("the disk of {path} takes writes again", path=self._path)

    def _forget(self) -> None:
        self._expire(self._now_ns())

    def _dropper(self, what: str, work: Callable[[int], int]) -> Callable[[], Deferred[None]]:
        def note(count: int) -> None:
            self.dropped += count
            if count:
                _log.debug("removed {count} {what}", count=count, what=what)

        def drop() -> Deferred[None]:
            now = self._now_ns()
            return self._offload(lambda: work(now)).addCallback(note)

        return drop
