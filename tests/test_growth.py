"""The growing object: what it holds of ours is known after any answer, lost or not, and nothing in it is ever lost."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred

from lf6gateway.disk.filesystem import OsFileSystem
from lf6gateway.disk.folders import MemberFile, file_name, hour_folder, waiting_hours
from lf6gateway.disk.offload import inline
from lf6gateway.disk.quarantine import Quarantine
from lf6gateway.disk.seal import seal
from lf6gateway.disk.segment import Segment
from lf6gateway.disk.space import Space
from lf6gateway.services.hour import Hour
from lf6gateway.stores.memory import ABLE, MemoryStore
from lf6gateway.values import frame
from lf6gateway.values.entry import Entry
from lf6gateway.values.failure import Kind, StoreError
from lf6gateway.values.growth import (
    NO_CURSORS,
    UNKNOWN,
    ZERO,
    Cursor,
    Cursors,
    advance,
    advance_all,
    format_cursors,
    held,
    parse_cursors,
)
from lf6gateway.values.member import Member, encode_header, parse_header
from lf6gateway.values.slot import HOUR_NS, Slot
from lf6gateway.values.stream import Stream
from lf6gateway.values.walk import Strange, Walker
from tests.deferreds import result_of

SLOT = Slot(490_000)
KEY = "usage/hour.jsonl.gz"


class Disk:
    """One gateway's disk, with as many lives as the test gives it."""

    def __init__(self, root: Path, store: MemoryStore, spool: str) -> None:
        self.fs = OsFileSystem()
        self.root = str(root)
        self.store = store
        self.spool = spool
        self.sealed: list[bytes] = []
        self.ordinal = 0
        self.start()

    def start(self) -> None:
        """As after a crash: only the disk is left."""
        self.quarantine = Quarantine(self.fs, self.root + "/quarantine")
        self.hour = Hour(
            SLOT,
            stream=Stream.USAGE,
            key_of=lambda host: KEY,
            host="host",
            root=self.root,
            spool=self.spool,
            store=self.store,
            fs=self.fs,
            offload=inline,
            quarantine=self.quarantine,
            space=Space(1 << 40, 0, 0, monotonic=lambda: 0.0),
            started_ns=0,
            grown=lambda _: None,
        )
        for hour in waiting_hours(self.fs, self.root, Stream.USAGE):
            self.hour.found(hour.member_paths)

    def seal(self, line: bytes) -> MemberFile:
        self.ordinal += 1
        identity = f"{random.getrandbits(128):032x}"
        folder = hour_folder(self.root, Stream.USAGE, SLOT)
        self.fs.make_dirs(folder)
        path = f"{folder}/{file_name(self.ordinal, identity, 'seg')}"
        handle = self.fs.create(path)
        entry = Entry(SLOT.number * HOUR_NS, "alice", line, 1, None, "r")
        handle.write([frame.FILE_HEADER, *frame.encode(entry)])
        handle.close()
        segment = Segment(Stream.USAGE, SLOT, self.ordinal, identity, path)
        file = seal(self.fs, segment, spool=self.spool, level=6, quarantine=self.quarantine).member_file
        assert file is not None
        self.sealed.append(line)
        self.hour.add(file)
        return file

    def ship(self) -> bool:
        try:
            result_of(self.hour.ship())
        except StoreError:
            return False
        return True


def lines(store: MemoryStore) -> list[bytes]:
    return gzip.decompress(store.objects[KEY].data).splitlines(keepends=True)


def member(number: int) -> Member:
    return Member("a" * 16, f"{number:032x}", 1, 10, 200, f"{number:032x}")


def test_a_member_header_tells_what_it_was_told() -> None:
    assert parse_header(encode_header(member(7)) + b"rest") == member(7)
    assert parse_header(gzip.compress(b"x")) is None


def test_a_cursor_tells_how_many_are_held() -> None:
    members = [member(number) for number in range(5)]
    for number in range(6):
        assert held(ZERO, members, advance_all(ZERO, members[:number])) == number
    assert held(ZERO, members, Cursor(2, "f" * 16)) is None
    assert held(ZERO, members[1:], advance(ZERO, members[0])) is None


def test_cursors_survive_the_metadata_and_leave_out_the_oldest() -> None:
    many = {f"{number:016x}": Cursor(number, "0" * 16) for number in range(100)}
    metadata = format_cursors(Cursors(many, True), "f" * 16, Cursor(3, "1" * 16))
    assert len(next(iter(metadata.values()))) <= 1500
    found = parse_cursors(metadata)
    assert found.by_writer["f" * 16] == Cursor(3, "1" * 16)
    assert f"{99:016x}" in found.by_writer
    assert f"{0:016x}" not in found.by_writer
    assert not found.complete
    assert parse_cursors(format_cursors(NO_CURSORS, "f" * 16, ZERO)).complete
    assert parse_cursors({}) == UNKNOWN
    assert parse_cursors({"lf6-members": "1 nonsense"}) == UNKNOWN


@pytest.mark.parametrize("step", [1, 7, 64, 1 << 20])
def test_the_walk_finds_ours_among_others(tmp_path: Path, step: int) -> None:
    disk = Disk(tmp_path, MemoryStore(), "a" * 16)
    ours = [disk.seal(b'{"n":%d}\n' % number) for number in range(3)]
    foreign = gzip.compress(b"somebody else's\n" * 50)
    packed = [Path(file.path).read_bytes() for file in ours]
    data = foreign + packed[0] + packed[1] + foreign + foreign + packed[2]
    walker = Walker()
    for start in range(0, len(data), step):
        walker.feed(data[start : start + step])
    walker.end()
    assert walker.members == [file.member for file in ours]
    assert walker.foreign == 3
    with pytest.raises(Strange):
        broken = Walker()
        broken.feed(data[:-3])
        broken.end()


def test_intervals_make_one_object_that_grows(tmp_path: Path) -> None:
    disk = Disk(tmp_path, MemoryStore(), "a" * 16)
    for number in range(4):
        disk.seal(b'{"n":%d}\n' % number)
        assert disk.ship()
    assert lines(disk.store) == disk.sealed
    assert [request for request, _ in disk.store.requests].count("put") == 4


def test_a_go_originals_object_is_kept_in_front(tmp_path: Path) -> None:
    store = MemoryStore()
    other = tmp_path / "other"
    other.write_bytes(gzip.compress(b'{"old":1}\n'))
    from lf6gateway.stores.store import Body, Slice

    body = Body((Slice(str(other), 0, other.stat().st_size),))
    result_of(store.put(KEY, body, metadata={}, content_type="application/gzip"))
    disk = Disk(tmp_path / "disk", store, "a" * 16)
    disk.seal(b'{"n":1}\n')
    assert disk.ship()
    assert lines(store) == [b'{"old":1}\n', b'{"n":1}\n']


def test_metadata_that_somebody_removed_cost_nothing(tmp_path: Path) -> None:
    disk = Disk(tmp_path, MemoryStore(), "a" * 16)
    disk.seal(b'{"n":1}\n')
    assert disk.ship()
    stored = disk.store.objects[KEY]
    disk.store.objects[KEY] = type(stored)(stored.data, {}, stored.content_type, '"other"')
    disk.seal(b'{"n":2}\n')
    assert disk.ship()
    assert lines(disk.store) == disk.sealed


def test_a_removed_object_gets_back_what_the_disk_still_has(tmp_path: Path) -> None:
    disk = Disk(tmp_path, MemoryStore(), "a" * 16)
    disk.seal(b'{"n":1}\n')
    assert disk.ship()
    del disk.store.objects[KEY]
    disk.seal(b'{"n":2}\n')
    assert disk.ship()
    assert lines(disk.store) == disk.sealed


@pytest.mark.parametrize("first", [True, False])
def test_a_twin_that_writes_between_the_look_and_the_write_loses_nothing(tmp_path: Path, first: bool) -> None:
    store = MemoryStore()
    store.without(append_min=1 << 40)
    disks = [Disk(tmp_path / str(number), store, f"{number:016x}") for number in range(2)]
    if not first:
        disks[0].seal(b'{"n":0}\n')
        assert disks[0].ship()
    disks[0].seal(b'{"n":1}\n')
    disks[1].seal(b'{"n":2}\n')

    def race(request: str, key: str) -> None:
        if request == "put":
            store.before = None
            assert disks[1].ship()

    store.before = race
    assert disks[0].ship()
    assert sorted(lines(store)) == sorted(disks[0].sealed + disks[1].sealed)


@pytest.mark.parametrize("gone", [True, False])
def test_members_go_only_after_a_last_look_at_the_object(tmp_path: Path, gone: bool) -> None:
    """Somebody removed or replaced it after our write was confirmed."""
    disk = Disk(tmp_path, MemoryStore(), "a" * 16)
    disk.seal(b'{"n":1}\n')
    assert disk.ship()
    stored = disk.store.objects.pop(KEY)
    if not gone:
        disk.store.objects[KEY] = type(stored)(gzip.compress(b'{"other":1}\n'), {}, stored.content_type, '"other"')
    assert not result_of(disk.hour.settle(over=True))
    assert list(Path(disk.root).rglob("*.gz"))
    assert disk.ship()
    assert lines(disk.store)[-1:] == disk.sealed
    assert result_of(disk.hour.settle(over=True))


def test_an_hour_that_is_over_leaves_nothing_on_disk(tmp_path: Path) -> None:
    disk = Disk(tmp_path, MemoryStore(), "a" * 16)
    disk.seal(b'{"n":1}\n')
    assert disk.ship()
    assert result_of(disk.hour.settle(over=True))
    assert not Path(hour_folder(disk.root, Stream.USAGE, SLOT)).exists()


def test_after_a_stop_within_the_hour_the_next_start_goes_on(tmp_path: Path) -> None:
    disk = Disk(tmp_path, MemoryStore(), "a" * 16)
    disk.seal(b'{"n":1}\n')
    assert disk.ship()
    assert result_of(disk.hour.settle(over=False))
    assert not list(Path(disk.root).rglob("*.gz"))
    disk.start()
    disk.seal(b'{"n":2}\n')
    assert disk.ship()
    assert lines(disk.store) == disk.sealed


@pytest.mark.parametrize("append_min", [1, 400, 1 << 40])
@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_each_record_is_there_once_and_in_order(tmp_path: Path, seed: int, append_min: int) -> None:
    """Two disks of one hostname, answers lost, requests failing, crashes between any two, metadata removed."""
    chance = random.Random(seed)
    store = MemoryStore()
    store.without(append_min=append_min)
    if chance.random() < 0.3:
        store.without(complete_if_match=False, part_copy=chance.random() < 0.5)
    disks = [Disk(tmp_path / str(number), store, f"{number:016x}") for number in range(2)]

    def trouble(request: str, key: str) -> Deferred[None] | None:
        if request in ("put", "append", "head") and chance.random() < 0.25:
            raise StoreError(Kind.TRANSIENT, f"{request} {key}", "lost")
        return None

    store.before = store.after = trouble
    for number in range(40):
        disk = chance.choice(disks)
        act = chance.random()
        if act < 0.45:
            disk.seal(b'{"disk":%d,"n":%d}\n' % (disks.index(disk), number))
        elif act < 0.85:
            disk.ship()
        elif act < 0.95:
            disk.start()
        elif KEY in store.objects:
            stored = store.objects[KEY]
            store.objects[KEY] = type(stored)(stored.data, {}, stored.content_type, stored.etag + "x")
    store.before = store.after = None
    for disk in disks:
        assert disk.ship()
    for number, disk in enumerate(disks):
        mine = [line for line in lines(store) if line.startswith(b'{"disk":%d,' % number)] if disk.sealed else []
        assert mine == disk.sealed


def test_the_store_in_memory_honours_what_it_says() -> None:
    assert ABLE.append_guarded
