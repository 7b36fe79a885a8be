"""What a report counts: records by stream, time, host, version and user, and errors by what they are. Owns the
counting, in bounded memory however much is read; must never keep a record, nor decide how a figure is shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from lf6gateway.values.delivered import Delivered
from lf6gateway.values.enveloped import read_envelope
from lf6gateway.values.field_path import FieldPath, find_text
from lf6gateway.values.fingerprint import ErrorFields, fingerprint
from lf6gateway.values.member import Member
from lf6gateway.values.record_lines import LineCutter
from lf6gateway.values.stream import Stream
from lf6gateway.values.top import Top
from lf6gateway.values.unpack import Damage, Event, Unpacker

KEPT: Final = 10_000
"""Hosts, versions and users of which the most frequent are told apart."""
ERRORS_KEPT: Final = 2_000
USERS_COUNTED: Final = 1_000
"""Users of one error that are told apart."""
_LONGEST: Final = 120
_DAMAGED: Final = 20
_decode: Final = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Fields:
    """Where in a record stands what is counted."""

    version: tuple[FieldPath, ...]
    errors: ErrorFields


@dataclass(slots=True)
class Volume:
    """How much there is: objects, records, bytes as stored, and bytes unpacked."""

    objects: int = 0
    records: int = 0
    bytes: int = 0
    raw_bytes: int = 0

    def add(self, other: Volume) -> None:
        """More of it."""
        self.objects += other.objects
        self.records += other.records
        self.bytes += other.bytes
        self.raw_bytes += other.raw_bytes


@dataclass(slots=True)
class ErrorSeen:
    """One error, over all its occurrences; times in units of the tally."""

    title: str
    first: int
    last: int
    times: dict[int, int] = field(default_factory=dict)
    users: set[str] = field(default_factory=set)

    def add(self, other: ErrorSeen) -> None:
        """More of the same."""
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)
        for at, count in other.times.items():
            self.times[at] = self.times.get(at, 0) + count
        for user in other.users:
            if len(self.users) < USERS_COUNTED:
                self.users.add(user)


class Tally:
    """See the module.

    :param unit_hours: hours of a unit of time: 1, or 24.
    """

    def __init__(self, unit_hours: int = 1) -> None:
        self.unit_hours = unit_hours
        self.streams: dict[Stream, Volume] = {}
        self.times: dict[tuple[Stream, int], Volume] = {}
        self.hosts: Top[tuple[Stream, str]] = Top(KEPT)
        self.versions: Top[tuple[Stream, str]] = Top(KEPT)
        self.users: Top[tuple[Stream, str]] = Top(KEPT)
        self.kinds: Top[str] = Top(KEPT)
        """Specimens by the ending of their names."""
        self.errors: Top[str] = Top(ERRORS_KEPT)
        self.seen: dict[str, ErrorSeen] = {}
        self.nameless_errors = 0
        """Error reports that say neither what kind, nor a message, nor a stack."""
        self.without_user = 0
        self.unreadable = 0
        """Records that are not JSON, or that Python cannot hold."""
        self.damaged: list[str] = []
        """Keys of objects that could not be read whole, the first of them."""
        self.damaged_count = 0

    def unit(self, found: Delivered) -> int:
        """The unit of time of an object, counted since 1970."""
        return found.slot.number // self.unit_hours

    def volume(self, found: Delivered, volume: Volume) -> None:
        """Count how much an object holds."""
        self.streams.setdefault(found.stream, Volume()).add(volume)
        self.times.setdefault((found.stream, self.unit(found)), Volume()).add(volume)
        if found.host:
            self.hosts.add((found.stream, found.host), volume.records)

    def specimen(self, found: Delivered) -> None:
        """Count a specimen, of which its key tells all there is to know."""
        self.volume(found, Volume(1, 1, found.size, found.size))
        self.users.add((found.stream, found.user))
        name, dot, ending = found.name.rpartition(".")
        self.kinds.add(ending.lower()[:_LONGEST] if name and dot else "(none)")

    def error(self, identity: str, title: str, unit: int, user: str | None) -> None:
        """Count an occurrence of an error."""
        self.errors.add(identity)
        seen = self.seen.get(identity)
        if seen is None:
            seen = self.seen[identity] = ErrorSeen(title, unit, unit)
            if len(self.seen) > 2 * ERRORS_KEPT:
                self._forget()
        seen.add(ErrorSeen(title, unit, unit, {unit: 1}, set() if user is None else {user}))

    def broken(self, key: str) -> None:
        """An object could not be read whole."""
        self.damaged_count += 1
        if len(self.damaged) < _DAMAGED:
            self.damaged.append(key)

    def merge(self, other: Tally) -> None:
        """Count what another one has counted."""
        for stream, volume in other.streams.items():
            self.streams.setdefault(stream, Volume()).add(volume)
        for place, volume in other.times.items():
            self.times.setdefault(place, Volume()).add(volume)
        self.hosts.merge(other.hosts)
        self.versions.merge(other.versions)
        self.users.merge(other.users)
        self.kinds.merge(other.kinds)
        self.errors.merge(other.errors)
        for identity, seen in other.seen.items():
            if identity in self.seen:
                self.seen[identity].add(seen)
            else:
                self.seen[identity] = seen
        if len(self.seen) > 2 * ERRORS_KEPT:
            self._forget()
        self.nameless_errors += other.nameless_errors
        self.without_user += other.without_user
        self.unreadable += other.unreadable
        for key in other.damaged:
            self.broken(key)

    def _forget(self) -> None:
        self.seen = {identity: seen for identity, seen in self.seen.items() if identity in self.errors}


class TallyReader:
    """Fed the bytes of an object of records, counts what is in it.

    :param tally: takes the figures, when the object has ended.
    :param longest: bytes of a record.
    """

    def __init__(self, found: Delivered, fields: Fields, unit_hours: int, unpacker: Unpacker, longest: int) -> None:
        self.tally = Tally(unit_hours)
        self._found = found
        self._fields = fields
        self._unpacker = unpacker
        self._cutter = LineCutter(longest)
        self._volume = Volume(1, 0, found.size, 0)
        self._unit = self.tally.unit(found)
        self._damaged = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Go on with the next bytes; nothing comes of it."""
        for event in self._unpacker.feed(data):
            self._take(event)
        yield from ()

    def end(self) -> Iterator[bytes]:
        """The object ends here."""
        for event in self._unpacker.end():
            self._take(event)
        for block, member in self._cutter.end():
            self._block(block, member)
        self.tally.volume(self._found, self._volume)
        if self._damaged:
            self.tally.broken(self._found.key)
        yield from ()

    def _take(self, event: Event) -> None:
        for one in self._cutter.take(event):
            if isinstance(one, Damage):
                self._damaged = True
            else:
                self._block(*one)

    def _block(self, block: bytes, member: Member | None) -> None:
        self._volume.raw_bytes += len(block)
        for line in block[:-1].split(b"\n"):
            if line:
                self._volume.records += 1
                self._record(line, member)

    def _record(self, line: bytes, member: Member | None) -> None:
        stream, tally = self._found.stream, self.tally
        envelope = read_envelope(line, member)
        user = None
        if envelope is None:
            tally.without_user += 1
        else:
            user, line = envelope.user, envelope.data
            tally.users.add((stream, user[:_LONGEST]))
        try:
            record = _decoded(line)
        except (ValueError, RecursionError):
            tally.unreadable += 1
            return
        version = find_text(record, self._fields.version)
        if version is not None:
            tally.versions.add((stream, version[:_LONGEST]))
        if stream is Stream.ERROR:
            found = fingerprint(record, self._fields.errors)
            if found.id:
                tally.error(found.id, found.title, self._unit, user)
            else:
                tally.nameless_errors += 1


def _decoded(line: bytes) -> Any:
    try:
        return _decode(line)
    except msgspec.DecodeError:
        return json.loads(line)  # the grammar to the letter; the quick one does not take all of it
