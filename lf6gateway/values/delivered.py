"""What the key of a delivered object tells: the hour and host of records, the user and moment of a specimen. Owns
reading keys back (``object_key.py`` and ``specimen_key.py`` write them); must never look at an object."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from lf6gateway.values.slot import Slot
from lf6gateway.values.stream import Stream

_RECORDS: Final = re.compile(r"(\d{4})/(\d{2})/(\d{2})/(\d{2})/(\d{10})\.([^/]+)\.jsonl\.gz", re.ASCII)
_SPECIMEN: Final = re.compile(r"([^/]+)/(\d{4})/(\d{2})/(\d{2})/([^/]+)", re.ASCII | re.DOTALL)
_STAMP: Final = re.compile(r"\d{16,20}", re.ASCII)
_LARGEST: Final = 1 << 63


@dataclass(frozen=True, slots=True)
class Delivered:
    """One object of a stream.

    :param moment_ns: the beginning of its hour, or the moment of a specimen's reception; nanoseconds since 1970.
    :param host: which host's records; empty for a specimen.
    :param user: whose specimen; empty for records.
    :param name: the specimen's file name, without its timestamp; empty for records.
    """

    stream: Stream
    key: str
    size: int
    etag: str
    modified_ns: int
    moment_ns: int
    host: str = ""
    user: str = ""
    name: str = ""

    @property
    def slot(self) -> Slot:
        """Its hour."""
        return Slot.at(self.moment_ns)

    @property
    def order(self) -> tuple[int, str, str]:
        """What it is sorted by: time, then stream, then key."""
        return self.moment_ns, self.stream.value, self.key


def delivered(stream: Stream, prefix: str, key: str, size: int, etag: str, modified_ns: int) -> Delivered | None:
    """The object of a key, or ``None`` where the key is none of that stream.

    :param prefix: of the stream's keys: empty, or ending in a slash.
    """
    if not key.startswith(prefix):
        return None
    rest = key[len(prefix) :]
    if stream is not Stream.SPECIMEN:
        found = _RECORDS.fullmatch(rest)
        if found is None or "".join(found.groups()[:4]) != found[5]:
            return None
        try:
            slot = Slot.parse(found[5])
        except ValueError:
            return None
        return Delivered(stream, key, size, etag, modified_ns, slot.start_ns, host=found[6])
    found = _SPECIMEN.fullmatch(rest)
    if found is None:
        return None
    user, year, month, day, name = found.groups()
    try:
        start = Slot.parse(f"{year}{month}{day}00").start_ns
    except ValueError:
        return None
    parts = name.split(".")
    for place in (-2, -1):
        if len(parts) >= -place + 1 and _STAMP.fullmatch(parts[place]) and int(parts[place]) < _LARGEST:
            stamp = int(parts.pop(place))
            return Delivered(stream, key, size, etag, modified_ns, stamp, user=user, name=".".join(parts))
    return Delivered(stream, key, size, etag, modified_ns, start, user=user, name=name)
