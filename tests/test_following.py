"""``tail -f``: only what objects gain is read, each record once, over the hour's turn and failures of the store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from lf6gateway.disk.offload import inline
from lf6gateway.services.catalogue import Catalogue, Source
from lf6gateway.services.following import Following
from lf6gateway.services.last_records import Known, LastRecords
from lf6gateway.services.patient import PatientStore
from lf6gateway.stores.memory import MemoryStore, Stored
from lf6gateway.values.delivered import Delivered
from lf6gateway.values.failure import Kind, StoreError
from lf6gateway.values.object_key import record_key
from lf6gateway.values.record_lines import RecordReader
from lf6gateway.values.selection import Selection
from lf6gateway.values.slot import Slot
from lf6gateway.values.stream import Stream
from tests.deferreds import result_of, started
from tests.test_unpack import lines, packed

HOUR = Slot.parse("2026112513")


class Gone(Exception):
    """Nobody reads any more."""


class World:
    def __init__(self, selection: Selection | None = None) -> None:
        self.store = Counting()
        self.clock = Clock()
        self.now_ns = HOUR.start_ns + 60_000_000_000
        self.out = b""
        self.said: list[str] = []
        self.damages: list[str] = []
        patient = PatientStore(self.store, clock=self.clock, attempts=1)
        self.catalogue = Catalogue({Stream.USAGE: Source(patient, "usage/", "memory")}, lambda: Slot.at(self.now_ns))
        self.selection = selection or Selection()
        self.following = Following(
            self.catalogue,
            Stream.USAGE,
            None,
            selection=self.selection,
            longest=1 << 20,
            offload=inline,
            clock=self.clock,
            now_ns=lambda: self.now_ns,
            write=self.write,
            told=self.told,
            say=self.said.append,
            random=lambda: 0.5,
        )
        self.members = 0

    def told(self, found: Delivered, reader: RecordReader) -> None:
        self.damages += [damage.why for damage in reader.damages]

    async def write(self, block: bytes) -> None:
        self.out += block

    def check(self) -> None:
        if self.out.endswith(b"gone\n"):
            raise Gone

    def grow(self, text: bytes, slot: Slot = HOUR, host: str = "a") -> int:
        """Put records into an hour's object; how many bytes that took."""
        key = record_key("usage/", slot, host)
        before = self.store.objects.get(key)
        self.members += 1
        member = packed(text, self.members)
        data = (before.data if before else b"") + member
        self.store.objects[key] = Stored(data, {}, "", f'"{self.members}"')
        return len(member)

    def begin(self) -> Deferred[None]:
        result_of(self.following.begin())
        return started(self.following.follow(2.0, self.check))

    def last(self, count: int, known: Known | None = None, host: str | None = None) -> bytes:
        last = LastRecords(
            self.catalogue, offload=inline, selection=self.selection, known=known, longest=1 << 20, told=self.told
        )
        return b"".join(result_of(last.find(Stream.USAGE, host, count)))


class Counting(MemoryStore):
    """Counts the bytes that are read."""

    read = 0

    async def get(self, key: str, **options: Any) -> AsyncIterator[bytes]:
        async for chunk in super().get(key, **options):
            self.read += len(chunk)
            yield chunk


def test_only_what_an_object_gains_is_read_and_each_record_once() -> None:
    world = World()
    world.grow(lines(0, 100))
    world.begin()
    gained = 0
    for number in range(5):
        gained += world.grow(lines(100 + number * 10, 10))
        world.clock.advance(2.0)
    world.clock.pump([2.0] * 5)
    assert world.out == lines(100, 50)
    assert world.store.read == gained


def test_the_hour_turns_and_late_hours_are_found() -> None:
    world = World()
    world.begin()
    world.grow(lines(0, 1))
    world.clock.advance(2.0)
    world.now_ns = HOUR.end_ns + 1
    world.grow(lines(1, 1))  # of the old hour, shipped a little late
    world.grow(lines(2, 1), Slot(HOUR.number + 1))
    world.clock.advance(2.0)
    assert world.out == lines(0, 3)
    world.grow(lines(3, 1), Slot(HOUR.number - 9), "from-an-outage")
    world.clock.pump([2.0] * 15)
    assert world.out == lines(0, 4)


def test_a_failing_store_ends_nothing_and_doubles_nothing() -> None:
    world = World()
    world.begin()
    away = True

    def failing(request: str, key: str) -> None:
        if away:
            raise StoreError(Kind.TRANSIENT, request, "the store is away", applied=False)

    world.store.before = failing  # type: ignore[assignment]
    world.grow(lines(0, 3))
    world.clock.pump([2.0] * 60)
    assert world.out == b""
    assert [text for text in world.said if "away" in text] == world.said[:1]
    away = False
    world.grow(lines(3, 3))
    world.clock.pump([2.0] * 30)
    assert world.out == lines(0, 6)
    assert world.said[1:] == ["the store answers again"]


def test_a_read_that_breaks_off_goes_on_where_it_was() -> None:
    world = World()
    world.begin()

    class Breaking(Counting):
        async def get(
            self, key: str, *, start: int = 0, length: int | None = None, **options: Any
        ) -> AsyncIterator[bytes]:
            data = self.objects[key].data[start:][:length]
            yield data[:70]
            if len(data) > 70:
                raise StoreError(Kind.TRANSIENT, "get", "broken off")

    world.store.__class__ = Breaking
    world.grow(lines(0, 200))
    world.grow(lines(200, 1))
    world.clock.pump([70.0] * 60)
    assert world.out == lines(0, 201)
    assert world.damages == []


def test_an_object_that_somebody_wrote_anew_is_told_and_followed_on() -> None:
    world = World()
    world.grow(lines(0, 500))
    world.begin()
    world.store.objects.clear()
    world.grow(lines(500, 1))
    world.clock.advance(2.0)
    assert "somebody else wrote it anew" in world.said[0]
    world.grow(lines(501, 1))
    world.clock.advance(2.0)
    assert world.out == lines(501, 1)


def test_it_ends_when_nobody_reads() -> None:
    world = World()
    work = world.begin()
    world.grow(b"gone\n")
    world.clock.pump([2.0] * 3)
    with pytest.raises(Gone):
        result_of(work)


def test_the_last_records_of_a_large_object_are_had_without_reading_it() -> None:
    import random

    world = World()
    noise = random.Random(1)
    big = b"".join(b'"%032x"\n' % noise.getrandbits(128) for _ in range(60_000))
    sizes = [world.grow(text) for text in (big, big, lines(0, 5), lines(5, 5))]
    assert world.last(7) == lines(3, 7)
    assert world.store.read < sizes[0]  # headers, the rest of the last mebibyte, and the two last members
    assert world.last(11) == big.splitlines(keepends=True)[-1] + lines(0, 10)
    assert world.last(0) == b""


def test_the_last_records_come_from_as_many_hours_as_it_takes() -> None:
    world = World()
    world.grow(lines(0, 3), Slot(HOUR.number - 30))
    world.grow(lines(3, 3), Slot(HOUR.number - 2), "b")
    world.grow(lines(6, 3))
    assert world.last(9) == world.last(100) == lines(0, 9)
    assert world.last(4) == lines(5, 4)
    assert world.last(4, host="b") == lines(3, 3)
    # What comes while they are looked for is followed, and so is none of theirs.
    known = result_of(world.following.begin())
    world.grow(lines(9, 3))
    world.grow(lines(12, 1), host="new")
    assert world.last(2, known) == lines(7, 2)
    result_of(world.following.look())
    assert world.out == lines(9, 4)
