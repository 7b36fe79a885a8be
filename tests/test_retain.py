"""What has to be done now and then."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from lf6gateway.disk.filesystem import OsFileSystem, Room
from lf6gateway.disk.folders import file_name, hour_folder
from lf6gateway.disk.keyfile import drop_old_keys, write_keys
from lf6gateway.disk.offload import inline
from lf6gateway.disk.space import Space
from lf6gateway.services.retain import RetainService
from lf6gateway.values.idempotency import KeyIndex, KeyUse, digest_of
from lf6gateway.values.slot import HOUR_NS, Slot
from lf6gateway.values.stream import Stream
from tests.deferreds import result_of

T = TypeVar("T")
HOUR = Slot(400_000)
MINUTES = 60 * 10**9


class Bench:
    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.fs = OsFileSystem()
        self.root = str(folder / "spool")
        self.folder = str(folder)
        self.space = Space(1 << 40, 1, 1, monotonic=self.clock.seconds)
        self.keys = KeyIndex(100)
        self.hung: list[Deferred[Any]] = []
        self.hang: Callable[[Callable[[], Any]], bool] = lambda work: False

    def now_ns(self) -> int:
        return HOUR.start_ns + int(self.clock.seconds() * 1e9)

    def offload(self, work: Callable[[], T], /) -> Deferred[T]:
        if self.hang(work):
            self.hung.append(Deferred())
            return self.hung[-1]
        return inline(work)

    def service(self, **other: Any) -> RetainService:
        drop = {"old key files": partial(drop_old_keys, self.fs, self.root)}
        return RetainService(
            clock=self.clock,
            now_ns=self.now_ns,
            offload=self.offload,
            fs=other.pop("fs", self.fs),
            path=self.folder,
            space=self.space,
            drop=other.pop("drop", drop),
            expire=other.pop("expire", self.keys.expire),
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_the_room_is_looked_up_at_once_and_every_second(bench: Bench) -> None:
    left = iter(range(100, 0, -1))

    class Full(OsFileSystem):
        def room(self, path: str) -> Room:
            assert path == bench.folder
            return Room(next(left), 5)

    service = bench.service(fs=Full())
    service.startService()
    assert bench.space.room == Room(100, 5)
    bench.clock.pump([1.0] * 9)
    assert bench.space.room == Room(91, 5)
    result_of(service.stopService())
    assert bench.clock.getDelayedCalls() == []


def test_keys_are_dropped_from_disk_and_memory_an_hour_after_they_came(bench: Bench) -> None:
    folder = hour_folder(bench.root, Stream.USAGE, HOUR)
    bench.fs.make_dirs(folder)
    path = os.path.join(folder, file_name(1, "a" * 32, "keys"))
    write_keys(bench.fs, path, [KeyUse(HOUR.start_ns, Stream.USAGE, "ann", "k")])
    digest = digest_of(Stream.USAGE, "ann", "k")
    bench.keys.remember(digest, HOUR.start_ns)
    service = bench.service()
    service.startService()
    bench.clock.pump([60.0] * 59)
    assert len(bench.keys) == 1
    bench.clock.pump([60.0] * 3)
    assert len(bench.keys) == 0 and os.path.exists(path)
    bench.clock.pump([60.0] * 60)
    assert not os.path.exists(folder) and service.dropped == 1
    assert bench.now_ns() >= HOUR.end_ns + HOUR_NS


def test_an_error_of_one_task_ends_neither_it_nor_the_others(bench: Bench) -> None:
    calls = {"bad": 0, "good": 0, "expire": 0}
    broken = [True]

    def bad(now_ns: int) -> int:
        calls["bad"] += 1
        if broken:
            raise OSError("no such disk")
        return 2

    def good(now_ns: int) -> int:
        calls["good"] += 1
        return 0

    def expire(now_ns: int) -> int:
        calls["expire"] += 1
        raise KeyError("unforeseen")

    class Broken(OsFileSystem):
        def room(self, path: str) -> Room:
            if broken:
                raise OSError("no such disk")
            return Room(7, None)

    service = bench.service(fs=Broken(), drop={"bad ones": bad, "good ones": good}, expire=expire)
    service.startService()
    bench.clock.pump([60.0] * 5)
    assert calls == {"bad": 5, "good": 5, "expire": 5}
    assert service.failures == 6 + 5 + 5 and service.failing
    broken.clear()
    bench.clock.pump([60.0] * 1)
    assert bench.space.room == Room(7, None) and service.dropped == 2


def test_a_round_that_hangs_keeps_no_other_from_its_own_and_a_stop_waits_or_gives_up(bench: Bench) -> None:
    service = bench.service(drop={"keys": lambda now_ns: 1})
    service.startService()
    bench.hang = lambda work: bench.clock.seconds() == 60.0 and not bench.hung
    bench.clock.pump([60.0] * 4)
    assert len(bench.hung) == 1
    stopped = service.stopService()
    outcome: list[object] = []
    stopped.addBoth(outcome.append)
    assert outcome == []
    bench.hung[0].callback(Room(1, 1))
    assert outcome == [None]


def test_a_stop_can_be_given_up_on(bench: Bench) -> None:
    bench.hang = lambda work: True
    service = bench.service()
    service.startService()
    stopped = service.stopService()
    outcome: list[object] = []
    stopped.addBoth(outcome.append)
    stopped.cancel()
    assert len(outcome) == 1
    assert bench.clock.getDelayedCalls() == []
