"""The last records of a stream, found from the end: the newest hours first, and of a large object only the members that
hold them. Owns that search; must never write anything."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from lf6gateway.disk.compression import INFLATE_ERRORS, inflater
from lf6gateway.disk.offload import Offload
from lf6gateway.services.catalogue import Catalogue
from lf6gateway.services.inside import member_headers
from lf6gateway.values.asked import Asked
from lf6gateway.values.delivered import Delivered
from lf6gateway.values.enveloped import read_envelope
from lf6gateway.values.member import Member
from lf6gateway.values.record_lines import RecordReader
from lf6gateway.values.selection import Selection
from lf6gateway.values.slot import Slot
from lf6gateway.values.stream import Stream
from lf6gateway.values.unpack import WINDOW, Unpacker
from lf6gateway.values.window import Window

MOST_HOURS: Final = 24
"""Hours with objects that are looked at where only some records are asked for, and no time is."""


@dataclass(frozen=True, slots=True)
class Known:
    """The sizes of the objects that are there at a moment, of hours from ``since`` on."""

    since: Slot
    sizes: Mapping[str, int]


Told = Callable[[Delivered, RecordReader], None]
"""Takes each object that was read, with what was damaged of it."""


def record_reader(found: Delivered, selection: Selection, longest: int, start: int = 0) -> RecordReader:
    """What reads the records of an object, from a member's beginning at byte ``start`` on."""
    unpacker = Unpacker(lambda: inflater(WINDOW), INFLATE_ERRORS, start=start)
    return RecordReader(unpacker, selection, found.slot, longest)


class LastRecords:
    """See the module.

    :param known: what is there already of hours from its ``since`` on, where what comes after it is followed.
    :param longest: bytes of a record.
    :param told: takes each object that was read.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        offload: Offload,
        selection: Selection,
        known: Known | None,
        longest: int,
        told: Told,
    ) -> None:
        self._catalogue = catalogue
        self._offload = offload
        self._selection = selection
        self._known = known
        self._longest = longest
        self._told = told
        self.cut_short = False
        """Whether older hours were not looked at, though fewer records were found than asked for."""

    async def find(self, stream: Stream, host: str | None, count: int) -> list[bytes]:
        """The last records that are asked for, each a line with its end: of one hour by the moment of reception, where
        envelopes tell it, else by host.

        :raises StoreError: the store failed.
        """
        window = self._selection.window
        found: list[bytes] = []
        hours = 0
        async with aclosing(self._catalogue.hours(stream)) as slots:
            async for slot in slots:
                if not window.touches(slot):
                    if window.first is not None and slot < window.first:
                        break
                    continue
                if len(found) >= count:
                    break
                if hours >= MOST_HOURS and window.everything and not self._selection.every(slot):
                    self.cut_short = True
                    break
                hours += 1
                hour = Asked((stream,), Window(slot.start_ns, slot.end_ns), host)
                found = await self._of_hour(hour, count) + found
        return found[-count:] if count else []

    async def _of_hour(self, asked: Asked, count: int) -> list[bytes]:
        lines: list[tuple[int, bytes]] = []
        async with aclosing(self._catalogue.objects(asked)) as objects:
            async for found in objects:
                for line in await self._of_object(found, count):
                    envelope = read_envelope(line[:-1], None)
                    lines.append((found.slot.end_ns if envelope is None else envelope.received_ns, line))
                # Those of one host are in order; a stable sort keeps them so.
                lines = sorted(lines, key=lambda one: one[0])[-count:]
        return [line for _, line in lines]

    async def _of_object(self, found: Delivered, count: int) -> deque[bytes]:
        store = self._catalogue.sources[found.stream].store
        size = found.size
        if self._known is not None and found.slot >= self._known.since:
            size = min(size, self._known.sizes.get(found.key, 0))
        start = 0
        if self._selection.every(found.slot):
            members = await member_headers(found.key, size, store, self._offload)
            start = _start(members, count) if members is not None else 0
        reader = record_reader(found, self._selection, self._longest, start)
        lines: deque[bytes] = deque(maxlen=max(1, count))

        def take(blocks: Iterator[bytes]) -> None:
            for block in blocks:
                lines.extend(_split(block))

        async with aclosing(store.get(found.key, start=start, length=size - start)) as chunks:
            async for chunk in chunks:
                await self._offload(lambda chunk=chunk: take(reader.feed(chunk)))  # type: ignore[misc]
        await self._offload(lambda: take(reader.end()))
        self._told(found, reader)
        return lines


def _split(block: bytes) -> list[bytes]:
    return [line + b"\n" for line in block[:-1].split(b"\n")]


def _start(members: list[Member], count: int) -> int:
    """Where the member begins from which on there are so many records."""
    start = sum(member.packed_bytes for member in members)
    for member in reversed(members):
        if count <= 0:
            break
        start -= member.packed_bytes
        count -= member.records
    return start
