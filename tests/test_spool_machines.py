"""Whatever sequence of acts hypothesis thinks of: the spool keeps what it acknowledged, in order and once, and the object of
an hour ends with every member of every disk once."""

from __future__ import annotations

import gzip
import itertools
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import NamedTemporaryFile
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lf6gateway.disk.folders import file_name, hour_folder, read_member_file, waiting_hours
from lf6gateway.disk.journal import Journal
from lf6gateway.disk.offload import inline
from lf6gateway.disk.quarantine import Quarantine
from lf6gateway.disk.seal import seal
from lf6gateway.disk.segment import Segment, Whole, read_segment
from lf6gateway.disk.space import Space
from lf6gateway.services.hour import Hour
from lf6gateway.stores.memory import MemoryStore
from lf6gateway.stores.store import Body, Present, Slice
from lf6gateway.values import frame
from lf6gateway.values.entry import Entry
from lf6gateway.values.failure import Kind, StoreError
from lf6gateway.values.slot import HOUR_NS, Slot
from lf6gateway.values.stream import Stream
from tests.deferreds import result_of
from tests.simulation.chance import Chance
from tests.simulation.disk import Disk, Faults, Mount

ROOT = "/cache/spool"
START = Slot(490_000)
MANY = settings(max_examples=60, stateful_step_count=40, deadline=None)


class SpoolMachine(RuleBasedStateMachine):
    """A journal, its seal and its recovery on a disk that fails, is killed and loses power."""

    def __init__(self) -> None:
        super().__init__()
        self.disk = Disk(Chance(5), lambda what: None, Counter())
        self.disk.make_dir("/cache")
        self.disk.sync_dir("/")
        self.ids = itertools.count(1)
        self.numbers = itertools.count()
        self.now = START.start_ns
        self.acknowledged: list[tuple[Slot, bytes]] = []
        self.sent: set[bytes] = set()
        self.begin()

    def begin(self) -> None:
        self.fs = Mount(self.disk)
        self.quarantine = Quarantine(self.fs, "/cache/quarantine")
        self.segments: list[Segment] = []
        for hour in waiting_hours(self.fs, ROOT, Stream.USAGE):
            self.segments += hour.segments
        self.journal = Journal(
            fs=self.fs,
            root=ROOT,
            stream=Stream.USAGE,
            offload=inline,
            space=Space(1 << 40, 0, 0, monotonic=lambda: 0.0),
            segment_bytes=400,
            new_id=lambda: f"{next(self.ids):032x}",
            closed=self.segments.append,
        )

    @rule(size=st.integers(0, 300), keyed=st.booleans())
    def append(self, size: int, keyed: bool) -> None:
        self.now += 1
        line = b'{"n":%d,"p":"%s"}\n' % (next(self.numbers), b"x" * size)
        self.sent.add(line)
        entry = Entry(self.now, "alice", line, 1, f"key-{self.now}" if keyed else None, "r")
        outcome: list[object] = []
        self.journal.append(entry).addCallbacks(outcome.append, lambda failure: None)
        if outcome:
            self.acknowledged.append((Slot.at(self.now), line))

    @rule()
    def next_hour(self) -> None:
        self.now += HOUR_NS

    @rule()
    def rotate(self) -> None:
        result_of(self.journal.rotate())

    @rule()
    def seal_oldest(self) -> None:
        if not self.segments:
            return
        try:
            seal(self.fs, self.segments[0], spool="a" * 16, level=1, quarantine=self.quarantine)
        except OSError:
            return  # it is tried again
        del self.segments[0]

    @rule(what=st.sampled_from(["write", "sync", "sync_names"]), often=st.sampled_from([0.0, 0.5, 1.0]))
    def disk_fails(self, what: str, often: float) -> None:
        self.disk.faults = Faults(**{what: often})  # type: ignore[arg-type]
        self.disk.calm = False

    @rule()
    def disk_works(self) -> None:
        self.disk.calm = True

    @rule(keep=st.sampled_from([None, 0.0, 0.5, 1.0]))
    def dies(self, keep: float | None) -> None:
        self.disk.calm = True
        if keep is None:
            self.disk.kill()
        else:
            self.disk.crash(keep)
        self.begin()

    @invariant()
    def nothing_is_lost_and_looking_changes_nothing(self) -> None:
        calm, self.disk.calm = self.disk.calm, True
        try:
            there = self.there()
            assert there == self.there()
        finally:
            self.disk.calm = calm
        for slot, lines in there.items():
            assert len(set(lines)) == len(lines)
            assert set(lines) <= self.sent
            mine = [line for at, line in self.acknowledged if at == slot]
            assert [line for line in lines if line in set(mine)] == mine
        assert {slot for slot, _ in self.acknowledged} <= set(there)

    def there(self) -> dict[Slot, list[bytes]]:
        """What a start would deliver, by hours, as it finds it."""
        found: dict[Slot, list[bytes]] = {}
        fs = Mount(self.disk)
        open_path = None if self.journal._open is None else self.journal._open.path
        for entry in list(fs.scan(f"{ROOT}/usage")):
            slot = Slot.parse(entry.name)
            parts: list[tuple[int, list[bytes]]] = []
            sealed = {
                one.name.split(".")[0] for one in fs.scan(f"{ROOT}/usage/{entry.name}") if one.name.endswith(".gz")
            }
            for one in fs.scan(f"{ROOT}/usage/{entry.name}"):
                path = f"{ROOT}/usage/{entry.name}/{one.name}"
                ordinal, _, rest = one.name.partition("-")
                if one.name.endswith(".gz"):
                    file = read_member_file(fs, path)
                    data = gzip.decompress(fs.read_slice(path, 0, file.member.packed_bytes))
                    parts.append((int(ordinal), data.splitlines(keepends=True)))
                elif one.name.endswith(".seg") and one.name.split(".")[0] not in sealed:
                    known = {segment.path: segment for segment in self.segments}
                    segment = known.get(path) or Segment(Stream.USAGE, slot, int(ordinal), rest[:32], path)
                    if path == open_path:
                        assert self.journal._open is not None
                        segment = Segment(Stream.USAGE, slot, int(ordinal), rest[:32], path, self.journal._open.durable)
                    whole = [each.entry.lines for each in read_segment(fs, segment) if isinstance(each, Whole)]
                    parts.append((int(ordinal), whole))
            found[slot] = [line for _, lines in sorted(parts) for line in lines]
        return found


class HourMachine(RuleBasedStateMachine):
    """Two disks of one hostname write the object of one hour, through a store whose answers get lost."""

    key = "usage/hour.jsonl.gz"

    def __init__(self) -> None:
        super().__init__()
        self.store = MemoryStore()
        self.store.without(append_min=1 << 40)
        self.ids = itertools.count(1)
        self.disks = [Disk(Chance(number), lambda what: None, Counter()) for number in range(2)]
        self.sealed: list[list[bytes]] = [[], []]
        self.failing = 0
        self.hours: list[Hour] = []
        for number, disk in enumerate(self.disks):
            disk.make_dir("/cache")
            disk.sync_dir("/")
            self.hours.append(self._hour(number))
        self.store.before = self._trouble
        self.store.after = self._trouble

    def _trouble(self, request: str, key: str) -> None:
        self.failing -= 1
        if self.failing == 0:
            raise StoreError(Kind.TRANSIENT, f"{request} {key}", "lost")

    def _hour(self, number: int) -> Hour:
        disk = self.disks[number]
        fs = Mount(disk)
        quarantine = Quarantine(fs, "/cache/quarantine")
        hour = Hour(
            START,
            stream=Stream.USAGE,
            key_of=lambda host: self.key,
            host="host",
            root=ROOT,
            spool=f"{number:016x}",
            store=_Reading(self.store, fs),  # type: ignore[arg-type]
            fs=fs,
            offload=inline,
            quarantine=quarantine,
            space=Space(1 << 40, 0, 0, monotonic=lambda: 0.0),
            started_ns=0,
            grown=lambda _: None,
        )
        for found in waiting_hours(fs, ROOT, Stream.USAGE):
            hour.found(found.member_paths)
        return hour

    @rule(number=st.integers(0, 1))
    def seal(self, number: int) -> None:
        fs = Mount(self.disks[number])
        identity = f"{next(self.ids):032x}"
        folder = hour_folder(ROOT, Stream.USAGE, START)
        fs.make_dirs(folder)
        ordinal = len(self.sealed[number]) + 1
        path = f"{folder}/{file_name(ordinal, identity, 'seg')}"
        line = b'{"disk":%d,"n":%d}\n' % (number, ordinal)
        handle = fs.create(path)
        handle.write([frame.FILE_HEADER, *frame.encode(Entry(START.start_ns, "alice", line, 1, None, "r"))])
        handle.sync()
        segment = Segment(Stream.USAGE, START, ordinal, identity, path)
        quarantine = Quarantine(fs, "/cache/quarantine")
        file = seal(fs, segment, spool=f"{number:016x}", level=1, quarantine=quarantine).member_file
        assert file is not None
        self.sealed[number].append(line)
        self.hours[number].add(file)

    @rule(number=st.integers(0, 1), failing=st.integers(0, 8))
    def ship(self, number: int, failing: int) -> None:
        """Write it; the request or answer of that number is lost (0: none)."""
        self.failing = failing
        try:
            result_of(self.hours[number].ship())
        except StoreError:
            pass
        self.failing = 0

    @rule(number=st.integers(0, 1), keep=st.sampled_from([None, 0.0, 1.0]))
    def die(self, number: int, keep: float | None) -> None:
        if keep is None:
            self.disks[number].kill()
        else:
            self.disks[number].crash(keep)
        self.hours[number] = self._hour(number)

    @rule(number=st.integers(0, 1), failing=st.integers(0, 3))
    def settle(self, number: int, failing: int) -> None:
        self.failing = failing
        try:
            result_of(self.hours[number].settle(over=False))
        except StoreError:
            pass
        self.failing = 0

    @rule(append_min=st.sampled_from([1, 400, 1 << 40]), guarded=st.booleans())
    def another_store(self, append_min: int, guarded: bool) -> None:
        self.store.without(append_min=append_min, complete_if_match=guarded)

    @rule()
    def strip(self) -> None:
        stored = self.store.objects.get(self.key)
        if stored is not None:
            self.store.objects[self.key] = type(stored)(stored.data, {}, stored.content_type, stored.etag + "x")

    @invariant()
    def nothing_is_there_twice(self) -> None:
        there = self._lines()
        assert len(set(there)) == len(there)

    def teardown(self) -> None:
        self.failing = 0
        for hour in self.hours:
            result_of(hour.ship())
        for number, sealed in enumerate(self.sealed):
            assert [line for line in self._lines() if line.startswith(b'{"disk":%d,' % number)] == sealed

    def _lines(self) -> list[bytes]:
        stored = self.store.objects.get(self.key)
        return [] if stored is None else gzip.decompress(stored.data).splitlines(keepends=True)


class _Reading:
    """The store in memory, whose bodies come from a simulated disk."""

    def __init__(self, store: MemoryStore, fs: Mount) -> None:
        self._store = store
        self._fs = fs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def put(self, key: str, body: Body, **other: Any) -> Present:
        with self._real(body) as real:
            return await self._store.put(key, real, **other)

    async def append(self, key: str, present: Present, tail: Body, **other: Any) -> Present:
        with self._real(tail) as real:
            return await self._store.append(key, present, real, **other)

    @contextmanager
    def _real(self, body: Body) -> Iterator[Body]:
        with NamedTemporaryFile() as file:
            for part in body.slices:
                file.write(self._fs.read_slice(part.path, part.offset, part.length))
            file.flush()
            yield Body((Slice(file.name, 0, body.length),))


TestSpool = SpoolMachine.TestCase
TestSpool.settings = MANY
TestHour = HourMachine.TestCase
TestHour.settings = MANY
