"""Hours take turns: a backlog holds up no new data, nor new data the backlog."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from lf6gateway.disk.filesystem import OsFileSystem
from lf6gateway.disk.folders import MemberFile, file_name, hour_folder, waiting_hours
from lf6gateway.disk.offload import inline
from lf6gateway.disk.quarantine import Quarantine
from lf6gateway.disk.seal import seal
from lf6gateway.disk.segment import Segment
from lf6gateway.disk.space import Space
from lf6gateway.services.breaker import Breaker
from lf6gateway.services.ship_hours import HourShipper
from lf6gateway.stores.memory import MemoryStore
from lf6gateway.values import frame
from lf6gateway.values.entry import Entry
from lf6gateway.values.failure import Kind, StoreError
from lf6gateway.values.retry import RetryPolicy
from lf6gateway.values.slot import Slot
from lf6gateway.values.stream import Stream
from tests.deferreds import result_of

NOW = Slot(490_000)
SPOOL = "a" * 16
RETRY = RetryPolicy(1.0, 64.0)


class Bench:
    """A folder of real members, a store in memory that answers when the test says so, and a clock."""

    def __init__(self, folder: Path, at_once: int) -> None:
        self.fs = OsFileSystem()
        self.root = str(folder)
        self.clock: Any = Clock()
        self.store = MemoryStore()
        self.open: list[Deferred[None]] = []
        self.puts: list[str] = []
        self.quarantine = Quarantine(self.fs, str(folder / "quarantine"))
        self.space = Space(1 << 40, 1, 1, monotonic=self.clock.seconds)
        self.breaker = Breaker(self.clock, RETRY, "usage", random=lambda: 0.999)
        self.made = 0
        self.shipper = HourShipper(
            stream=Stream.USAGE,
            store=self.store,
            fs=self.fs,
            offload=inline,
            clock=self.clock,
            now_ns=lambda: NOW.start_ns + int(self.clock.seconds() * 1e9),
            root=self.root,
            spool=SPOOL,
            key_of=lambda slot, host: slot.name,
            host="host",
            quarantine=self.quarantine,
            space=self.space,
            breaker=self.breaker,
            unsealed=lambda slot: False,
            hours_at_once=at_once,
            policy=RETRY,
            random=lambda: 0.999,
        )

    def member(self, slot: Slot) -> MemberFile:
        """One more member of an hour, which holds its number."""
        self.made += 1
        folder = Path(hour_folder(self.root, Stream.USAGE, slot))
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / file_name(self.made, f"{self.made:032x}", "seg")
        entry = Entry(slot.start_ns, "u", b'{"n":%d}\n' % self.made, 1, None, "r")
        path.write_bytes(frame.FILE_HEADER + b"".join(frame.encode(entry)))
        segment = Segment(Stream.USAGE, slot, self.made, f"{self.made:032x}", str(path))
        made = seal(self.fs, segment, spool=SPOOL, level=1, quarantine=self.quarantine).member_file
        assert made is not None
        self.space.add(made.member.packed_bytes)
        return made

    def backlog(self, hours: int) -> None:
        """So many hours before the present one, as a start finds them."""
        for number in range(hours):
            self.member(Slot(NOW.number - hours + number))
        self.shipper.found(waiting_hours(self.fs, self.root, Stream.USAGE))

    def hold(self, request: str, key: str) -> Deferred[None] | None:
        """Writes wait."""
        if request not in ("put", "append"):
            return None
        self.puts.append(key)
        self.open.append(Deferred())
        return self.open[-1]

    def release(self) -> None:
        self.open.pop(0).callback(None)
        self.clock.advance(0)

    def held(self, slot: Slot) -> list[bytes]:
        found = self.store.objects.get(slot.name)
        return [] if found is None else gzip.decompress(found.data).splitlines()


@pytest.mark.parametrize("at_once", [1, 2, 4])
def test_new_data_do_not_wait_for_a_backlog_nor_the_backlog_for_new_data(tmp_path: Path, at_once: int) -> None:
    bench = Bench(tmp_path, at_once)
    bench.backlog(60)
    bench.store.before = bench.hold
    bench.shipper.startService()
    for number in range(1, 11):
        before = len(bench.puts)
        bench.shipper.add(NOW, bench.member(NOW))
        turns = 0
        while len(bench.held(NOW)) < number:
            bench.release()
            turns += 1
        # Those under way, the oldest, the new one.
        assert turns <= 2 * at_once + 2, (number, turns, bench.puts[before:])
    # The oldest had every second turn.
    gone = [slot for slot in range(NOW.number - 60, NOW.number) if bench.held(Slot(slot))]
    assert len(gone) >= 8 and gone[:4] == list(range(NOW.number - 60, NOW.number - 56))
    while bench.open:
        bench.release()
    assert len(bench.store.objects) == 61
    assert bench.space.used == sum(path.stat().st_size for path in tmp_path.rglob("*.gz"))
    result_of(bench.shipper.stopService())


def test_new_data_go_first_or_second_when_the_store_is_back(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 2)
    bench.backlog(60)
    away = StoreError(Kind.TRANSIENT, "head", "it is away", applied=False)

    def refuse(request: str, key: str) -> None:
        raise away

    bench.store.before = refuse
    bench.shipper.startService()
    for _ in range(50):
        bench.clock.advance(30)
    bench.shipper.add(NOW, bench.member(NOW))
    bench.clock.advance(30)
    bench.store.before = bench.hold
    bench.clock.advance(64)
    turns = 0
    while not bench.held(NOW):
        bench.release()
        turns += 1
    assert turns <= 6, bench.puts
    while bench.open:
        bench.release()
    assert len(bench.store.objects) == 61
    result_of(bench.shipper.stopService())
