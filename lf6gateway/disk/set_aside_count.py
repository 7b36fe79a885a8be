"""How much lies in quarantine, and what came there last, told without touching it. Owns that count alone, which is
bounded however much there is; must never read what was set aside, only the notes beside it."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from lf6gateway.disk.filesystem import Entry, FileSystem
from lf6gateway.disk.set_aside import NOTE, WANTED, read_note


@dataclass(frozen=True, slots=True)
class Newest:
    """One file in quarantine; ``name`` is below it, ``at_ns`` when it came there, in nanoseconds since 1970."""

    name: str
    stream: str
    bytes: int
    at_ns: int
    why: str
    origin: str


@dataclass(frozen=True, slots=True)
class Listing:
    """How many there are, their bytes, and the newest ones."""

    count: int
    bytes: int
    newest: tuple[Newest, ...]


def listing(fs: FileSystem, root: str, most: int) -> Listing:
    """What lies there. Blocks.

    :param root: ``cache_dir/quarantine``.
    :param most: how many are told of one by one.
    """
    count = total = 0

    def counted() -> Iterator[tuple[int, str, Entry]]:
        nonlocal count, total
        for folder in fs.scan(root):
            for entry in fs.scan(os.path.join(root, folder.name)) if folder.is_dir else ():
                if not entry.is_dir and not entry.name.endswith((NOTE, WANTED)):
                    count += 1
                    total += entry.size
                    yield entry.mtime_ns, folder.name, entry

    newest = heapq.nlargest(most, counted(), key=lambda found: (found[0], found[1], found[2].name))
    return Listing(count, total, tuple(_told(fs, root, stream, entry) for _, stream, entry in newest))


def _told(fs: FileSystem, root: str, stream: str, entry: Entry) -> Newest:
    try:
        note = read_note(fs, os.path.join(root, stream, entry.name))
    except OSError as error:
        note = {"why": f"its note cannot be read: {error}"}
    return Newest(
        f"{stream}/{entry.name}",
        stream,
        entry.size,
        _moment(note.get("at"), entry.mtime_ns),
        str(note.get("why", "its note is missing, or cannot be read")),
        str(note.get("from", "")),
    )


def _moment(text: object, otherwise: int) -> int:
    try:
        return int(datetime.fromisoformat(str(text)).timestamp() * 1e9)
    except (ValueError, OverflowError):
        return otherwise
