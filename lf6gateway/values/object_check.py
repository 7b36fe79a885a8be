"""Whether a delivered object is what it should be: its bytes against its digests and counts, its records against the
grammar of JSON and their hour. Owns that verdict and its words; must never fetch anything."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from urllib.parse import unquote

from lf6gateway.values.delivered import Delivered
from lf6gateway.values.enveloped import read_envelope
from lf6gateway.values.growth import METADATA, ZERO, Cursor, advance, parse_cursors
from lf6gateway.values.json_record import JsonProblem, check_batch
from lf6gateway.values.member import Member
from lf6gateway.values.record_lines import LineCutter
from lf6gateway.values.unpack import Began, Damage, Ended, Event, Unpacker

MOST_TOLD: Final = 20
_RESTORE: Final = (
    "restore it from an earlier version or a copy, if there is one; what is whole of it is read by lf6gateway cat all "
    "the same"
)
_LOOK: Final = "look at it: somebody else wrote to this key, or the metadata were not copied with it"


@dataclass(frozen=True, slots=True)
class Wrong:
    """One thing that is not as it should be, and what to do about it."""

    what: str
    remedy: str


@dataclass(slots=True)
class Verdict:
    """What was found of an object.

    :param proven: whether there was a digest for every byte of it.
    """

    records: int = 0
    members: int = 0
    proven: bool = True
    wrong: list[Wrong] = field(default_factory=list)
    more: int = 0

    def add(self, what: str, remedy: str) -> None:
        """Tell something that is wrong; the first of it are kept."""
        if len(self.wrong) < MOST_TOLD:
            self.wrong.append(Wrong(what, remedy))
        else:
            self.more += 1


class RecordsCheck:
    """Fed the bytes of an object of records.

    :param metadata: the object's.
    :param longest: bytes of a record.
    """

    def __init__(self, found: Delivered, metadata: Mapping[str, str], unpacker: Unpacker, longest: int) -> None:
        self.verdict = Verdict()
        self._found = found
        self._metadata = metadata
        self._unpacker = unpacker
        self._cutter = LineCutter(longest)
        self._lines: Counter[str] = Counter()
        self._cursors: dict[str, Cursor] = {}
        self._ids: set[str] = set()
        self._member: Member | None = None
        self._foreign = 0
        self._out_of_hour = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Go on with the next bytes; nothing comes of it."""
        for event in self._unpacker.feed(data):
            self._take(event)
        yield from ()

    def end(self) -> Iterator[bytes]:
        """The object ends here: what is known of it as a whole."""
        for event in self._unpacker.end():
            self._take(event)
        for block, member in self._cutter.end():
            if self._foreign or member is None:
                self._block(block, member)
            else:
                self.verdict.add("its last record has no end of line", _RESTORE)
        self._compare_cursors()
        if self._out_of_hour:
            slot = self._found.slot.name
            self.verdict.add(f"{self._out_of_hour} records were received outside of its hour {slot}", _LOOK)
        yield from ()

    def _take(self, event: Event) -> None:
        for one in self._cutter.take(event):
            if not isinstance(one, Damage):
                self._block(*one)
            else:
                where = f"at byte {one.offset}: " if one.offset >= 0 else ""
                self.verdict.add(f"{where}{one.why}", _RESTORE)
        if isinstance(event, Began):
            self.verdict.members += 1
            self._member = event.member
            self._lines.clear()
            if event.member is None:
                self._foreign += 1
                self.verdict.proven = False
            else:
                self._begun(event.member, event.offset)
        elif isinstance(event, Ended):
            self._ended(event)

    def _begun(self, member: Member, offset: int) -> None:
        if member.id in self._ids:
            self.verdict.add(
                f"at byte {offset}: segment {member.id} is in it twice, with {member.records} records",
                "leave out one of them when you read it, and tell the authors how it came about: it must not happen",
            )
        self._ids.add(member.id)
        self._cursors[member.spool] = advance(self._cursors.get(member.spool, ZERO), member)

    def _ended(self, event: Ended) -> None:
        member = self._member
        if member is None:
            return
        if event.digest_fits is False:
            self.verdict.add(f"the member that ends at byte {event.offset} does not fit its digest", _RESTORE)
        if self._lines["records"] != member.records:
            self.verdict.add(
                f"the member that ends at byte {event.offset} has {self._lines['records']} records, and its header "
                f"says {member.records}",
                _RESTORE,
            )

    def _block(self, block: bytes, member: Member | None) -> None:
        lines = block.count(b"\n")
        self.verdict.records += lines
        self._lines["records"] += lines
        try:
            _, count = check_batch(block)
        except JsonProblem as problem:
            number = self.verdict.records - lines + problem.line
            self.verdict.add(f"record {number}, column {problem.column}, is not JSON: {problem.why}", _RESTORE)
        else:
            if count != lines:
                self.verdict.add(f"{lines - count} blank lines stand between its records", _LOOK)
        if block.startswith(b'{"received_at":"'):
            self._hours(block, member)

    def _hours(self, block: bytes, member: Member | None) -> None:
        slot = self._found.slot
        for line in block[:-1].split(b"\n"):
            envelope = read_envelope(line, member)
            if envelope is not None and not slot.start_ns <= envelope.received_ns < slot.end_ns:
                self._out_of_hour += 1

    def _compare_cursors(self) -> None:
        if METADATA not in self._metadata:
            if self._ids:
                self.verdict.proven = False
            return
        told = parse_cursors(self._metadata)
        if not told.by_writer and told.complete is False:
            self.verdict.add(f"its metadata entry {METADATA} cannot be read", _LOOK)
            return
        for writer, cursor in told.by_writer.items():
            there = self._cursors.get(writer, ZERO)
            if there.count != cursor.count:
                self.verdict.add(
                    f"it holds {there.count} members of writer {writer}, and its metadata say {cursor.count}", _RESTORE
                )
            elif there != cursor:
                self.verdict.add(f"its members of writer {writer} are not those that its metadata tell of", _RESTORE)
        if told.complete:
            for writer in sorted(self._cursors.keys() - told.by_writer.keys()):
                self.verdict.add(f"it holds members of writer {writer}, of whom its metadata know nothing", _LOOK)


class SpecimenCheck:
    """Fed the bytes of a specimen.

    :param metadata: the object's.
    """

    def __init__(self, found: Delivered, metadata: Mapping[str, str]) -> None:
        self.verdict = Verdict(members=0)
        self.sha256 = hashlib.sha256()
        self.length = 0
        self._found = found
        self._metadata = metadata

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Go on with the next bytes; nothing comes of it."""
        self.sha256.update(data)
        self.length += len(data)
        yield from ()

    def end(self) -> Iterator[bytes]:
        """The object ends here."""
        told = self._metadata.get("sha256")
        if told is None:
            self.verdict.proven = False
        elif told != self.sha256.hexdigest():
            self.verdict.add(f"its SHA-256 is {self.sha256.hexdigest()}, and its metadata say {told[:64]}", _RESTORE)
        user = self._metadata.get("user")
        if user is not None and "user-cut" not in self._metadata:
            users = (user, unquote(user))
            if self._found.user not in users:
                self.verdict.add("its metadata name another user than its key", _LOOK)
        day = datetime.fromtimestamp(self._found.moment_ns // 1_000_000_000, UTC).strftime("/%Y/%m/%d/")
        if day not in self._found.key:
            self.verdict.add(f"its timestamp is one of the day {day.strip('/')}, and its key says another", _LOOK)
        yield from ()
