"""What lies in quarantine, as the notes beside it tell. Owns their reading, and which of it can be put back for another
try; must never change anything there."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from lf6gateway.disk.durable import read_pieces
from lf6gateway.disk.filesystem import Entry, FileSystem
from lf6gateway.disk.folders import parse_name
from lf6gateway.values.slot import Slot
from lf6gateway.values.stream import RECORD_STREAMS, Stream

NOTE: Final = ".why.json"
"""What the name of a note ends in."""
WANTED: Final = ".retry"
"""What the name of a request ends in: the next start is to put the file beside it back."""
_LONGEST_NOTE: Final = 64 * 1024


class Kind(Enum):
    """What a file in quarantine is."""

    WHOLE = "whole"
    """The file itself, which lies nowhere else."""
    COPY = "copy"
    """A second name, or a copy, of a file that stayed where it was."""
    RANGE = "range"
    """A byte range of a file; the rest of that was delivered."""
    UNKNOWN = "unknown"
    """It has no note that can be read."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """One thing in quarantine.

    :param name: its path below ``cache_dir/quarantine``.
    :param source: where it lay, as the machine that set it aside called it.
    :param at: when, as ISO 8601.
    :param bytes: its size; ``None``: the note alone is there, for setting it aside was cut short.
    :param offset: of a range, where in the source it begins.
    :param wanted: the next start is to put it back.
    """

    name: str
    path: str
    kind: Kind
    stream: str
    source: str
    why: str
    at: str
    bytes: int | None
    offset: int | None
    wanted: bool

    @property
    def home(self) -> tuple[Stream, Slot, str] | None:
        """The stream, hour and file name it had in the spool; ``None`` if it lay elsewhere."""
        parts = self.source.split("/")
        if len(parts) < 4 or parts[-4] != "spool":
            return None
        try:
            return Stream(parts[-3]), Slot.parse(parts[-2]), parts[-1]
        except ValueError:
            return None


def listing(fs: FileSystem, cache_dir: str) -> Iterator[SetAside]:
    """All that lies in quarantine, by name. Blocks; changes nothing, and passes over what vanishes meanwhile."""
    root = os.path.join(cache_dir, "quarantine")
    for folder in sorted(entry.name for entry in fs.scan(root) if entry.is_dir):
        entries = {entry.name: entry for entry in fs.scan(os.path.join(root, folder)) if not entry.is_dir}
        names = {name.removesuffix(NOTE) for name in entries if not _is_request(name, entries)}
        for name in sorted(names):
            yield _one(fs, root, folder, name, entries)


def _is_request(name: str, entries: dict[str, Entry]) -> bool:
    base = name.removesuffix(WANTED)
    return base != name and (base in entries or base + NOTE in entries)


def _one(fs: FileSystem, root: str, folder: str, name: str, entries: dict[str, Entry]) -> SetAside:
    path = os.path.join(root, folder, name)
    note = read_note(fs, path) if name + NOTE in entries else {}
    offset = note.get("offset")
    if not note:
        kind = Kind.UNKNOWN
    elif isinstance(offset, int):
        kind = Kind.RANGE
    else:
        kind = Kind.WHOLE if "bytes" in note else Kind.COPY
    return SetAside(
        name=f"{folder}/{name}",
        path=path,
        kind=kind,
        stream=folder,
        source=str(note.get("from", "")),
        why=str(note.get("why", "there is no note of why")),
        at=str(note.get("at", "")),
        bytes=entries[name].size if name in entries else None,
        offset=offset if isinstance(offset, int) else None,
        wanted=name + WANTED in entries,
    )


def read_note(fs: FileSystem, path: str) -> dict[str, Any]:
    """The note beside a file; nothing where there is none that can be read. Blocks.

    :raises OSError: the disk failed.
    """
    try:
        text = next(read_pieces(fs, path + NOTE), b"")[:_LONGEST_NOTE]
        found = json.loads(text)
    except (ValueError, RecursionError, FileNotFoundError):
        return {}
    return found if isinstance(found, dict) else {}


def hindrance(one: SetAside) -> str:
    """Why a thing cannot be put back for another try; empty if it can."""
    home = one.home
    if one.bytes is None:
        return "nothing of it lies here, it stayed where it was"
    if one.kind is Kind.RANGE:
        return "it is a part of a file whose other records were delivered; what show finds in it can be sent again"
    if one.kind is Kind.COPY:
        return "it is a copy of a file that was used all the same"
    if home is None:
        return "it did not lie in the spool, so the gateway would not look at it there either"
    stream, _, name = home
    if stream in RECORD_STREAMS:
        parsed = parse_name(name)
        if parsed is not None and parsed[2] in ("seg", "gz"):
            return ""
    elif name.endswith(".spec"):
        return ""
    return "it holds no record and no specimen"
