"""From an object's bytes to its records, each a line as it was stored. Owns where records end, also where something is
damaged; must never hold more than a record and a chunk, nor fetch anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from lf6gateway.values.member import Member
from lf6gateway.values.selection import Selection
from lf6gateway.values.size import format_size
from lf6gateway.values.slot import Slot
from lf6gateway.values.unpack import Began, Damage, Event, Unpacker

MOST_TOLD: Final = 20
"""Damages of one object that are kept; more are counted."""


class LineCutter:
    """Cuts what an unpacker gives into blocks of whole lines.

    :param longest: bytes of a record; a longer one is passed over and told.
    """

    def __init__(self, longest: int) -> None:
        self.member: Member | None = None
        """The member of this program's making that the last block is of."""
        self._longest = longest
        self._partial = bytearray()
        self._passing = False

    def take(self, event: Event) -> Iterator[tuple[bytes, Member | None] | Damage]:
        """Blocks of whole lines, each with the member it is of, and what is damaged."""
        if isinstance(event, bytes):
            yield from self._piece(event)
        elif isinstance(event, Began):
            if event.member is not None:
                yield from self.end()  # what is before it is another writer's, and may lack its last line's end
            self.member = event.member
        elif isinstance(event, Damage):
            self._partial.clear()
            self._passing = False
            yield event

    def end(self) -> Iterator[tuple[bytes, Member | None]]:
        """The last line, where it lacks its end."""
        if self._partial:
            self._partial += b"\n"
            yield bytes(self._partial), self.member
            self._partial.clear()
        self._passing = False

    def _piece(self, data: bytes) -> Iterator[tuple[bytes, Member | None] | Damage]:
        end = data.rfind(b"\n") + 1
        if end:
            if self._passing:
                self._passing = False
                data = data[data.index(b"\n") + 1 :]
                end = data.rfind(b"\n") + 1
            block = bytes(self._partial) + data[:end] if self._partial else data[:end]
            self._partial.clear()
            if block:
                yield block, self.member
        if self._passing:
            return
        self._partial += data[end:]
        if len(self._partial) > self._longest:
            self._partial.clear()
            self._passing = True
            yield Damage(-1, f"a record is longer than {format_size(self._longest)}; give more with --max-record")


class RecordReader:
    """Fed an object's bytes in order, gives the records that are asked for.

    :param slot: the object's hour.
    :param longest: bytes of a record.
    """

    def __init__(self, unpacker: Unpacker, selection: Selection, slot: Slot, longest: int) -> None:
        self._unpacker = unpacker
        self._selection = selection
        self._slot = slot
        self._every = selection.every(slot)
        self._cutter = LineCutter(longest)
        self.seen = 0
        """How many records there were."""
        self.without_envelope = 0
        """How many of them were passed over because they do not tell their user."""
        self.damages: list[Damage] = []
        """What could not be read, the first of it."""
        self.damaged = 0
        """How many damages there were."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Go on with the next bytes: blocks of whole lines. They are to be taken before the next bytes are fed."""
        for event in self._unpacker.feed(data):
            yield from self._taken(event)

    def end(self) -> Iterator[bytes]:
        """The object ends here."""
        for event in self._unpacker.end():
            yield from self._taken(event)
        for block, member in self._cutter.end():
            yield from self._block(block, member)

    def forget_damages(self) -> None:
        """They were told."""
        self.damages.clear()
        self.damaged = 0

    def _taken(self, event: Event) -> Iterator[bytes]:
        for one in self._cutter.take(event):
            if isinstance(one, Damage):
                self.damaged += 1
                if len(self.damages) < MOST_TOLD:
                    self.damages.append(one)
            else:
                yield from self._block(*one)

    def _block(self, block: bytes, member: Member | None) -> Iterator[bytes]:
        if self._every:
            self.seen += block.count(b"\n")
            yield block
            return
        chosen = []
        for line in block[:-1].split(b"\n"):
            self.seen += 1
            wanted, missed = self._selection.chosen(line, self._slot, member)
            self.without_envelope += missed
            if wanted is not None:
                chosen.append(wanted)
        if chosen:
            chosen.append(b"")
            yield b"\n".join(chosen)
