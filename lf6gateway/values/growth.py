"""How the object of an hour grows: what it holds of ours, and what is to be done next. Owns the cursor in the object's
metadata and the choice of the safest way to write; must never send a request.

A new object is always the bytes of the present one and behind them our members it lacks, written on the condition that
the present one has not changed. Every writer (every disk) has a *cursor* in the object's metadata: how many members of
its own the object holds, and a chain of their digests. So a look at the metadata tells whether a write whose answer was
lost took effect, also when a twin has written behind it. Where the cursor tells nothing, the members' own headers
do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from typing import Final

from lf6gateway.values.member import Member

METADATA: Final = "lf6-members"
"""The metadata entry that holds the cursors."""

_COMPLETE: Final = "1"
_PARTIAL: Final = "1?"
"""How the entry begins: with the version of its form, and a mark if writers are left out of it."""
_ROOM: Final = 1490
"""Bytes of S3's 2 KB of metadata that cursors may take."""
_CURSOR: Final = re.compile(r"([0-9a-f]{16}):(\d{1,12}):([0-9a-f]{16})")


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far one writer's members are in an object: their count, and a chain of their digests."""

    count: int
    chain: str


ZERO: Final = Cursor(0, "0" * 16)
"""Nothing of a writer is there."""


def advance(cursor: Cursor, member: Member) -> Cursor:
    """The cursor once a member stands behind what it counts."""
    link = sha256(f"{cursor.chain}|{member.id}|{member.digest}".encode("ascii")).hexdigest()[:16]
    return Cursor(cursor.count + 1, link)


def advance_all(cursor: Cursor, members: Iterable[Member]) -> Cursor:
    """The cursor once several members stand behind what it counts."""
    for member in members:
        cursor = advance(cursor, member)
    return cursor


@dataclass(frozen=True, slots=True)
class Cursors:
    """The cursors in an object's metadata.

    :param by_writer: the writer that was silent longest first.
    :param complete: a writer that has none here has nothing in the object; else it may have.
    """

    by_writer: Mapping[str, Cursor]
    complete: bool


NO_CURSORS: Final = Cursors({}, True)
"""Those of an object that is not there."""

UNKNOWN: Final = Cursors({}, False)
"""Those of an object that tells nothing of its writers."""


def parse_cursors(metadata: Mapping[str, str]) -> Cursors:
    """The cursors in an object's metadata; ``UNKNOWN`` if there are none that can be read."""
    version, *items = metadata.get(METADATA, "").split() or [""]
    if version not in (_COMPLETE, _PARTIAL):
        return UNKNOWN
    cursors = {}
    for item in items:
        found = _CURSOR.fullmatch(item)
        if found is None:
            return UNKNOWN
        cursors[found[1]] = Cursor(int(found[2]), found[3])
    return Cursors(cursors, version == _COMPLETE)


def format_cursors(cursors: Cursors, spool: str, own: Cursor) -> dict[str, str]:
    """The metadata entry of an object that this writer wrote last. Where there is no room for all, the writers that
    were silent longest are left out, and the entry says so; they will read the object's headers when they come back."""
    items = [f"{writer}:{at.count}:{at.chain}" for writer, at in cursors.by_writer.items() if writer != spool]
    items.append(f"{spool}:{own.count}:{own.chain}")
    complete = cursors.complete
    while len(" ".join(items)) > _ROOM:
        items.pop(0)
        complete = False
    return {METADATA: " ".join([_COMPLETE if complete else _PARTIAL, *items])}


def held(cursor: Cursor, pending: Sequence[Member], remote: Cursor) -> int | None:
    """How many of the first pending members an object holds.

    :param cursor: ours when an answer was last certain.
    :param pending: what was, or was not, written since, in order.
    :param remote: ours in the object's metadata.
    :returns: ``None`` if the cursor is none that those members can lead to.
    """
    if cursor == remote:
        return 0
    for number, member in enumerate(pending, 1):
        cursor = advance(cursor, member)
        if cursor == remote:
            return number
    return None


class Way(Enum):
    """How an object is written."""

    FIRST = "first"
    """It is not there yet: all that is pending, on the condition that it still is not."""
    MIRROR = "mirror"
    """Whole, from our own disk, which has every byte of it."""
    APPEND = "append"
    """Our part alone; the store puts it behind the present object."""
    REBUILD = "rebuild"
    """Whole, from the present object, which is fetched first."""


def way(
    *, size: int | None, mirrored: bool, append_min: int, append_guarded: bool, part_copy: bool, put_if_match: bool
) -> Way:
    """The safest way, and among the safe ones the cheapest.

    :param size: of the present object in bytes; ``None`` if there is none.
    :param mirrored: our disk has every byte of it.
    :param append_min: the smallest object the store can take as the first part of another.
    :param append_guarded: the store appends only if the object is still the same.
    :param part_copy: the store can append at all.
    :param put_if_match: the store replaces an object only if it is still the same.
    """
    if size is None:
        return Way.FIRST
    large = size >= append_min
    if large and append_guarded:
        return Way.APPEND
    if mirrored and (put_if_match or not (large and part_copy)):
        return Way.MIRROR
    if put_if_match or not (large and part_copy):
        return Way.REBUILD
    return Way.APPEND
