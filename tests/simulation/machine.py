"""A machine: a disk, and one life after the other of the real gateway on it. Owns the threads, which are greenlets that
stop before each effect on disk, so that everything can happen between any two of them."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import greenlet
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from lf6gateway.disk.offload import Offload
from lf6gateway.services.gateway import GatewayService
from lf6gateway.services.surroundings import Surroundings
from lf6gateway.stores.s3 import S3Store
from lf6gateway.stores.store import ObjectStore
from lf6gateway.values.settings import Settings
from lf6gateway.values.stream import Stream
from tests.simulation.chance import Chance
from tests.simulation.disk import Disk, Mount, PowerLost
from tests.simulation.network import Line, Server


class Job(greenlet.greenlet):
    """A thread with something to do."""


class Pool:
    """Threads for one purpose; jobs begin in the order of the calls."""

    def __init__(self, life: Life, size: int) -> None:
        self._life = life
        self._size = size
        self._running = False
        self._busy = 0
        self._waiting: deque[tuple[Callable[[], Any], Deferred[Any]]] = deque()
        self._idle: list[Deferred[None]] = []

    def startService(self) -> None:
        self._running = True

    def stopService(self) -> Deferred[None]:
        self._running = False
        if not self._busy and not self._waiting:
            return succeed(None)
        done: Deferred[None] = Deferred()
        self._idle.append(done)
        return done

    def __call__(self, work: Callable[[], Any], /) -> Deferred[Any]:
        assert self._running, "work for threads that do not run"
        result: Deferred[Any] = Deferred()
        if self._life.dead:
            return result
        self._waiting.append((work, result))
        self._begin()
        return result

    def _begin(self) -> None:
        while self._waiting and self._busy < self._size:
            work, result = self._waiting.popleft()
            self._busy += 1
            self._life.jobs.append(Job(lambda work=work, result=result: self._run(work, result)))

    def _run(self, work: Callable[[], Any], result: Deferred[Any]) -> None:
        try:
            outcome: Any = work()
        except Exception:
            outcome = Failure()
        self._life.mail.append((self._done, (outcome, result)))

    def _done(self, outcome: Any, result: Deferred[Any]) -> None:
        self._busy -= 1
        self._begin()
        if not result.called:
            result.callback(outcome)
        elif not isinstance(outcome, Failure):
            result.callback(outcome)  # cancelled: the Deferred swallows it
        if not self._busy and not self._waiting:
            idle, self._idle = self._idle, []
            for done in idle:
                done.callback(None)


class _Lock:
    def acquire(self) -> None:
        """Nobody else is there."""

    def release(self) -> None:
        """Nobody waits."""


@dataclass
class _Destinations:
    prefixes: dict[Stream, str]
    stores: dict[Stream, ObjectStore]
    names: dict[Stream, str]

    async def close(self) -> None:
        """Nothing is held."""


class Life:
    """One process of the gateway."""

    def __init__(self, machine: Machine, chance: Chance, server: Server, settings: Settings) -> None:
        self.machine = machine
        self.dead = False
        """From its end on nothing of it may touch the world, or draw on chance, whatever still unwinds."""
        self.jobs: list[Job] = []
        self.mail: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self.clock = Clock()
        self.mount = Mount(machine.disk)
        self.last_ns = 0
        self.ready = False
        self.stopping: Deferred[None] | None = None
        self.stopped = False
        self.asked_to_stop = 0.0
        self.line = Line(server, self.clock, self.mount.read_slice, 20.0)
        honours = server.honours

        def number() -> float:
            return 0.5 if self.dead else chance.number()

        def outlets(settings: Settings, offload: Offload, spool: str) -> _Destinations:
            store = S3Store(
                self.line,
                offload=offload,
                part_bytes=settings.upload.part_bytes,
                probe_key=f"probe.{spool}",
                read=self.mount.read_slice,
            )
            if not machine.probes:
                store._found = honours
            return _Destinations(
                {stream: f"{stream.value}/" for stream in Stream},
                dict.fromkeys(Stream, store),
                dict.fromkeys(Stream, "b"),
            )

        self.gateway = GatewayService(
            settings,
            surroundings=Surroundings(
                reactor=self.clock,
                now_ns=machine.now_ns,
                fs=self.mount,
                threads=lambda name, size: Pool(self, size),
                lock=lambda path: _Lock(),
                outlets=outlets,
                new_id=lambda: f"{machine.digit}{int(number() * 2**48):012x}{machine.next_id():019x}",
                chance=number,
            ),
        )
        self.gateway.startService()
        self.gateway.started.addCallbacks(self._started, self._not_started)

    def grows(self, path: str) -> bool:
        """Whether a file is a segment that may be being written."""
        parts = self.gateway._assembly
        if parts is None or not path.endswith(".seg"):
            return False
        return any(
            f"/{stream.value}/" in path and (journal._flushing or ((one := journal._open) and one.path == path))
            for stream, journal in parts.journals.items()
        )

    def die(self) -> None:
        """It is gone from one moment to the next; its disk must be out of its reach already."""
        self.dead = True
        self.line.hang_up()
        self.mail.clear()
        for job in self.jobs:
            try:
                job.throw()
            except PowerLost:
                pass  # it tried to clean up behind itself
        self.jobs.clear()

    def _started(self, _: object) -> None:
        self.ready = not self.dead

    def _not_started(self, failure: Failure) -> None:
        if self.dead:
            return
        self.machine.died_of = failure
        self.stopped = True

    def stop(self) -> None:
        self.ready = False
        self.asked_to_stop = self.clock.seconds()
        self.stopping = self.gateway.stopService()
        self.stopping.addCallbacks(self._has_stopped, self._stop_failed)

    def _has_stopped(self, _: object) -> None:
        self.stopped = True

    def _stop_failed(self, failure: Failure) -> None:
        if self.dead:
            return
        raise AssertionError(f"the stop failed: {failure}")


class Machine:
    """See the module.

    :param wall: nanoseconds since 1970.
    :param counts: what happened, by its kind.
    """

    def __init__(
        self,
        name: str,
        chance: Chance,
        server: Server,
        settings: Settings,
        wall: Callable[[], int],
        counts: Counter[str],
    ) -> None:
        self.name = name
        self.digit = "a" if name == "one" else "b"  # no two machines ever make the same identity
        self._chance = chance
        self._server = server
        self._settings = settings
        self._wall = wall
        self._ids = 0
        self.probes = False
        self.disk = Disk(chance, self._step, counts)
        self.life: Life | None = None
        self.lives: list[Life] = []
        """All there were; they are kept so that nothing of them unwinds while the history goes on."""
        self.died_of: Failure | None = None
        self.watched: Callable[[str], None] | None = None
        self.disk.make_dir("/cache")
        self.disk.sync_dir("/")

    def next_id(self) -> int:
        self._ids += 1
        return self._ids

    def now_ns(self) -> int:
        return self._wall()

    def start(self) -> None:
        assert self.life is None
        self.life = Life(self, self._chance, self._server, self._settings)
        self.lives.append(self.life)

    def crash(self, *, power: bool, keep: float | None = None) -> None:
        """The process is gone; with ``power``, what was not synced is, too."""
        if power:
            self.disk.crash(keep)
        else:
            self.disk.kill()
        if self.life is not None:
            self.life.die()
        self.life = None

    def _step(self, what: str) -> None:
        present = greenlet.getcurrent()
        if isinstance(present, Job):
            if self.watched:
                self.watched(what)
            present.parent.switch(what)


def small_settings(segment_bytes: int, max_bytes: int = 10 << 30, min_free_bytes: int = 256 << 20) -> Settings:
    """The configuration of a simulated gateway; its limits may be smaller than a real one's."""
    made = Settings.model_validate(
        {
            "cache_dir": "/cache",
            "hostname": "host",
            "s3": {
                "usage_bucket": "bucket",
                "error_bucket": "bucket",
                "specimen_bucket": "bucket",
                "usage_prefix": "usage/",
                "error_prefix": "error/",
                "specimen_prefix": "specimen/",
            },
            "aggregation": {"usage_interval": "60s", "error_interval": "90s", "compression_level": "1"},
            "upload": {"retry_min": "1s", "retry_max": "30s"},
            "shutdown": {"deadline": "30m"},
        }
    )
    small = made.aggregation.model_copy(update={"segment_bytes": segment_bytes})
    spool = made.spool.model_copy(update={"max_bytes": max_bytes, "min_free_bytes": min_free_bytes})
    return made.model_copy(update={"aggregation": small, "spool": spool})
