"""What a gateway stands on: clocks, disk, threads, network, chance. Owns the choice of the real ones; must never be
asked for anything that could be handed in as a value. A test that puts models in their place drives the whole
gateway."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred

from lf6gateway.disk.filesystem import FileSystem, OsFileSystem
from lf6gateway.disk.lock import CacheLock
from lf6gateway.disk.offload import Offload
from lf6gateway.disk.reserve import FileReserve, NoReserve, Reserve
from lf6gateway.disk.timed import Syncs, TimedFileSystem
from lf6gateway.services.outlets import Outlets
from lf6gateway.services.threads import PoolFigures, Threads
from lf6gateway.stores.store import ObjectStore
from lf6gateway.values.settings import Settings
from lf6gateway.values.stream import Stream

T = TypeVar("T")


class Workers(Protocol):
    """Threads for one purpose (``services/threads.py``)."""

    @property
    def figures(self) -> PoolFigures:
        """What they have to do."""

    def startService(self) -> None:
        """Take work from now on."""

    def stopService(self) -> Deferred[None]:
        """Take no more; fires when all that was taken is done."""

    def __call__(self, work: Callable[[], T], /) -> Deferred[T]:
        """Run ``work`` off the reactor."""


class Lock(Protocol):
    """The right to a cache directory (``disk/lock.py``)."""

    def acquire(self) -> None:
        """Take it; raises ``CacheInUse`` or ``OSError``."""

    def release(self) -> None:
        """Give it back."""


class Destinations(Protocol):
    """Where each stream goes (``services/outlets.py``)."""

    @property
    def prefixes(self) -> Mapping[Stream, str]:
        """What the keys of each stream begin with."""

    @property
    def stores(self) -> Mapping[Stream, ObjectStore]:
        """The store of each stream."""

    @property
    def names(self) -> Mapping[Stream, str]:
        """What each store is called in the log."""

    async def close(self) -> None:
        """Let go of every connection."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """See the module.

    :param reactor: tells and schedules in seconds.
    :param now_ns: the wall clock, nanoseconds since 1970.
    :param threads: makes threads, by what they are for and how many.
    :param lock: makes the lock of a cache directory.
    :param outlets: connects the stores; given the settings, what runs blocking work, and this disk's identity.
    :param new_id: 32 fresh hex digits at each call.
    :param chance: a number in [0, 1).
    :param reserve: makes what holds room back on the disk of a cache directory.
    :param syncs: how long the syncs of ``fs`` took, where it notes that.
    :param watched: whether figures are gathered as time goes by, and alerts given.
    """

    reactor: Any
    now_ns: Callable[[], int]
    fs: FileSystem
    threads: Callable[[str, int], Workers]
    lock: Callable[[str], Lock]
    outlets: Callable[[Settings, Offload, str], Destinations]
    new_id: Callable[[], str]
    chance: Callable[[], float]
    reserve: Callable[[str], Reserve] = lambda cache_dir: NoReserve()
    syncs: Syncs = field(default_factory=Syncs)
    watched: bool = False


def real(reactor: Any, now_ns: Callable[[], int] = time.time_ns) -> Surroundings:
    """The machine's own.

    :param reactor: the global one if ``None``.
    """
    if reactor is None:
        from twisted.internet import reactor
    syncs = Syncs()
    return Surroundings(
        reactor=reactor,
        now_ns=now_ns,
        fs=TimedFileSystem(OsFileSystem(), syncs, reactor.seconds),
        threads=partial(Threads, reactor),
        lock=CacheLock,
        outlets=lambda settings, offload, spool: Outlets(settings, reactor=reactor, offload=offload, spool=spool),
        new_id=partial(secrets.token_hex, 16),
        chance=random.random,
        reserve=FileReserve,
        syncs=syncs,
        watched=True,
    )
