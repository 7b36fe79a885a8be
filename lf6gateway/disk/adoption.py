"""Adopting what the Go original left in its cache directory: its reports become segments of the spool. Owns the order
of effects by which a crash at any step neither loses nor doubles one; specimens are in ``specimen_adoption.py``.

Reports are written into a segment that ends in ``.adopt``, each frame naming its source; when it is durable the sources
are removed, and then it becomes a ``.seg``. A start that finds an ``.adopt`` some of whose sources are gone knows that
it was durable; one whose sources are all there may be in the page cache alone, and is made anew. An
aggregate holds the reports that lie in ``aggregation/`` beside it, for the original removed those only after an
upload; so it is taken first, and only what is not among them. Whether it was uploaded already cannot be known, and it
is delivered."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from typing import Final

from twisted.logger import Logger

from lf6gateway.disk.damaged import Damaged
from lf6gateway.disk.durable import read_small
from lf6gateway.disk.filesystem import FileSystem
from lf6gateway.disk.folders import file_name, hour_folder, last_ordinal, parse_name
from lf6gateway.disk.quarantine import Quarantine
from lf6gateway.disk.segment import Bad, Segment, Whole, read_segment
from lf6gateway.values import frame
from lf6gateway.values.entry import Entry
from lf6gateway.values.go_cache import parse_aggregate, parse_report
from lf6gateway.values.json_record import JsonProblem, check_record
from lf6gateway.values.slot import Slot
from lf6gateway.values.stream import RECORD_STREAMS, Stream

_log = Logger()

AT_ONCE: Final = 2000
"""Files that go into one segment."""
_PLACES: Final = ("", "aggregation", "uploading")
_NONE: Final = "-"
_DAMAGED: Final = "!"
"""Stands before the name of a source that is to be set aside."""


@dataclass(frozen=True, slots=True)
class _Source:
    """A report's file, by its path below the stream's folder."""

    name: str
    received_ns: int
    user: str


class Adoption:
    """Adopts records. All methods block; at a start only, before anything else touches the spool.

    :param root: ``cache_dir/spool``.
    :param new_id: 32 fresh hex digits at each call.
    """

    def __init__(
        self, fs: FileSystem, cache_dir: str, root: str, *, quarantine: Quarantine, new_id: Callable[[], str]
    ) -> None:
        self._fs = fs
        self._cache_dir = cache_dir
        self._root = root
        self._quarantine = quarantine
        self._new_id = new_id
        self.records = 0

    def run(self) -> int:
        """Adopt every report there is; how many."""
        for stream in RECORD_STREAMS:
            self._finish_begun(stream)
            if self._fs.exists(os.path.join(self._cache_dir, stream.value)):
                self._aggregates(stream)
                self._reports(stream)
                self._remove_empty(stream)
        return self.records

    def _finish_begun(self, stream: Stream) -> None:
        """Segments of a start that did not come to its end: their sources are in them."""
        top = os.path.join(self._root, stream.value)
        for hour in list(self._fs.scan(top)):
            folder = os.path.join(top, hour.name)
            for entry in list(self._fs.scan(folder)) if hour.is_dir else []:
                parsed = parse_name(entry.name)
                if parsed is None or parsed[2] != "adopt":
                    continue
                path = os.path.join(folder, entry.name)
                names, whole = self._named(Segment(stream, Slot.parse(hour.name), parsed[0], parsed[1], path))
                if not all(self._there(stream, name) for name in names):
                    self._hand_over(stream, path, names)
                    continue
                if whole:
                    self._fs.unlink(path)
                else:
                    self._quarantine.take(path, stream.value, "it is damaged; its sources are adopted again")
                self._fs.sync_dir(folder)

    def _named(self, segment: Segment) -> tuple[set[str], bool]:
        """The sources that a segment names, as far as it can be read, and whether nothing in it is damaged."""
        try:
            found = list(read_segment(self._fs, segment, salvage=True))
        except Damaged:
            return set(), False
        names = {one.entry.request_id for one in found if isinstance(one, Whole)} - {_NONE}
        return names, not any(isinstance(one, Bad) for one in found)

    def _there(self, stream: Stream, name: str) -> bool:
        return self._fs.exists(self._path(stream, name.removeprefix(_DAMAGED)))

    def _reports(self, stream: Stream) -> None:
        sources = []
        for name, _ in self._files(stream):
            if parse_aggregate(os.path.basename(name)) is not None:
                continue
            old = parse_report(os.path.basename(name))
            if old is None:
                self._set_aside(stream, name, "its name is none of the Go original's")
            else:
                sources.append(_Source(name, old.received_ns, old.user))
        sources.sort(key=lambda source: (source.received_ns, source.name))
        for slot, group in groupby(sources, key=lambda source: Slot.at(source.received_ns)):
            whole = list(group)
            for start in range(0, len(whole), AT_ONCE):
                self._adopt(stream, slot, self._read(stream, whole[start : start + AT_ONCE]))

    def _read(self, stream: Stream, sources: Iterable[_Source]) -> Iterator[Entry]:
        for source in sources:
            try:
                line = check_record(read_small(self._fs, self._path(stream, source.name)))
            except JsonProblem as problem:
                self._set_aside(stream, source.name, f"it is no JSON: {problem}")
                continue
            except OSError as error:
                self._set_aside(stream, source.name, f"it cannot be read: {error}")
                continue
            yield Entry(source.received_ns, source.user, line + b"\n", 1, None, source.name)

    def _aggregates(self, stream: Stream) -> None:
        known: set[bytes] | None = None
        for name, _ in list(self._files(stream)):
            moment = parse_aggregate(os.path.basename(name))
            if moment is None:
                continue
            if known is None:
                known = self._in_aggregation(stream)
            try:
                text, whole = _unpacked(read_small(self._fs, self._path(stream, name)))
            except OSError as error:
                self._set_aside(stream, name, f"it cannot be read: {error}")
                continue
            values, end = _values(text)
            if not whole:  # it may be cut short or damaged; what is damaged may unpack to anything
                values = [value for value in values if value.startswith(b"{")]
            lines = [value + b"\n" for value in values if sha256(value).digest() not in known]
            # What cannot be read to its end is set aside in the same step that would else remove it.
            source = name if whole and not text[end:].strip() else _DAMAGED + name
            self._adopt(stream, Slot.at(moment), [Entry(moment, "unknown", b"".join(lines), len(lines), None, source)])

    def _in_aggregation(self, stream: Stream) -> set[bytes]:
        known = set()
        for name, _ in self._files(stream):
            if name.startswith("aggregation/") and parse_report(os.path.basename(name)) is not None:
                try:
                    known.add(sha256(check_record(read_small(self._fs, self._path(stream, name)))).digest())
                except (JsonProblem, OSError) as problem:
                    _log.debug("{name} is no JSON: {problem}", name=name, problem=str(problem))
        return known

    def _adopt(self, stream: Stream, slot: Slot, entries: Iterable[Entry]) -> None:
        """One segment, made durable; then its sources go; then it counts."""
        folder = hour_folder(self._root, stream, slot)
        self._fs.make_dirs(folder)
        path = os.path.join(folder, file_name(last_ordinal(self._fs, folder) + 1, self._new_id(), "adopt"))
        handle = self._fs.create(path)
        names = set()
        try:
            handle.write([frame.FILE_HEADER])
            for entry in entries:
                handle.write(frame.encode(entry))
                names.add(entry.request_id)
                self.records += entry.count
            # The last frame says that none is missing; it holds no record.
            handle.write(frame.encode(Entry(slot.start_ns, "", b"", 0, None, _NONE)))
            handle.sync()
        finally:
            handle.close()
        self._fs.sync_dir(folder)
        if names:
            self._hand_over(stream, path, names)
        else:
            self._fs.unlink(path)

    def _hand_over(self, stream: Stream, path: str, names: set[str]) -> None:
        self._remove(stream, names)
        self._fs.rename(path, path.removesuffix(".adopt") + ".seg")
        self._fs.sync_dir(os.path.dirname(path))

    def _remove(self, stream: Stream, names: set[str]) -> None:
        for name in sorted(names):
            path = self._path(stream, name.removeprefix(_DAMAGED))
            if not self._fs.exists(path):
                continue
            if name.startswith(_DAMAGED):
                self._quarantine.take(path, stream.value, "it is cut short; what could be read of it is delivered")
            else:
                self._fs.unlink(path)
        folders = {os.path.dirname(self._path(stream, name.removeprefix(_DAMAGED))) for name in names}
        for folder in sorted(folders):
            if self._fs.exists(folder):
                self._fs.sync_dir(folder)

    def _set_aside(self, stream: Stream, name: str, why: str) -> None:
        self._quarantine.take(self._path(stream, name), stream.value, why)

    def _files(self, stream: Stream) -> Iterator[tuple[str, int]]:
        for place in _PLACES:
            folder = os.path.join(self._cache_dir, stream.value, place)
            for entry in self._fs.scan(folder):
                if not entry.is_dir:
                    yield (f"{place}/{entry.name}" if place else entry.name), entry.size

    def _path(self, stream: Stream, name: str) -> str:
        return os.path.join(self._cache_dir, stream.value, name)

    def _remove_empty(self, stream: Stream) -> None:
        for place in reversed(_PLACES):
            folder = os.path.join(self._cache_dir, stream.value, place).rstrip("/")
            if self._fs.exists(folder) and not any(True for _ in self._fs.scan(folder)):
                self._fs.remove_dir(folder)


def _unpacked(data: bytes) -> tuple[bytes, bool]:
    """What can be read of gzip data, and whether that is all."""
    inflate = zlib.decompressobj(31)
    try:
        text = inflate.decompress(data)
    except zlib.error:
        return b"", False
    return text, inflate.eof


def _values(data: bytes) -> tuple[list[bytes], int]:
    """The JSON values that stand one behind the other, each on one line; and where the first thing that is none
    begins."""
    text = data.decode("utf-8", "surrogateescape")
    decoder = json.JSONDecoder()
    values, at = [], 0
    while True:
        start = at + len(text[at:]) - len(text[at:].lstrip())
        try:
            _, end = decoder.raw_decode(text, start)
            values.append(check_record(text[start:end].encode("utf-8", "surrogateescape")))
        except (ValueError, RecursionError, JsonProblem):
            return values, len(text[:at].encode("utf-8", "surrogateescape"))
        at = end
