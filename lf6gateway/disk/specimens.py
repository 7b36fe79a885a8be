"""The folder of specimens: beginning new ones, finding those that wait, and removing what was shipped. Owns the names
there; the files' format is in ``specimen_file.py``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from twisted.logger import Logger

from lf6gateway.disk.damaged import Damaged
from lf6gateway.disk.filesystem import FileSystem
from lf6gateway.disk.offload import Offload
from lf6gateway.disk.quarantine import Quarantine
from lf6gateway.disk.specimen_file import WITHDRAWN, Head, read_head
from lf6gateway.disk.specimen_writer import SpaceLike, SpecimenWriter
from lf6gateway.values.idempotency import KeyUse
from lf6gateway.values.slot import HOUR_NS, Slot
from lf6gateway.values.stream import Stream

_log = Logger()
_NAME = re.compile(r"(\d{20})-([0-9a-f]{32})\.(part|spec|key)")


class SpecimenSpool:
    """Where specimens are received.

    :param root: ``cache_dir/spool``.
    :param new_id: 32 fresh hex digits at each call.
    :param committed: told the path and size of each specimen once it is acknowledged.
    :param named: see ``SpecimenWriter``.
    """

    def __init__(
        self,
        *,
        fs: FileSystem,
        root: str,
        offload: Offload,
        space: SpaceLike,
        new_id: Callable[[], str],
        committed: Callable[[str, int], None],
        named: bool = True,
    ) -> None:
        self._fs = fs
        self._top = os.path.join(root, Stream.SPECIMEN.value)
        self._offload = offload
        self._space = space
        self._new_id = new_id
        self._committed = committed
        self._named = named
        self._open: set[str] = set()

    def begun(self, path: str) -> None:
        """Another process of this gateway writes to that file."""
        self._open.add(path)

    def ended(self, path: str) -> None:
        """It does no more."""
        self._open.discard(path)

    def is_open(self, path: str) -> bool:
        """Whether a file is one that comes in just now. Any thread may ask."""
        return path in self._open

    def begin(
        self, *, received_ns: int, user: str, uri: str, content_type: str | None, key: str | None, request_id: str
    ) -> SpecimenWriter:
        """A new specimen, empty; nothing is on disk yet.

        :param received_ns: of which no two specimens have the same.
        """
        identity = self._new_id()
        path = os.path.join(self._top, Slot.at(received_ns).name, f"{received_ns:020d}-{identity}.part")
        self._open.add(path)
        return SpecimenWriter(
            fs=self._fs,
            path=path,
            head=Head(identity, received_ns, user, uri, content_type, key, request_id),
            offload=self._offload,
            space=self._space,
            committed=self._committed,
            ended=self.ended,
            named=self._named,
        )


def specimen_files(fs: FileSystem, root: str, *endings: str, since: str = "") -> Iterator[tuple[str, int, int]]:
    """Path, size and moment of reception of the files of some endings, oldest hour first; of hours from one on."""
    top = os.path.join(root, Stream.SPECIMEN.value)
    for hour in sorted(entry.name for entry in fs.scan(top) if entry.is_dir and entry.name >= since):
        folder = os.path.join(top, hour)
        for entry in fs.scan(folder):
            found = _NAME.fullmatch(entry.name)
            if found is not None and found[3] in endings:
                yield os.path.join(folder, entry.name), entry.size, int(found[1])


def waiting_specimens(
    fs: FileSystem, root: str, is_open: Callable[[str], bool] = lambda path: False
) -> Iterator[tuple[str, int]]:
    """Path and size of each whole specimen, oldest hour first, found as they are asked for. Blocks.

    :param is_open: whether a file, by its unfinished name, is one that comes in just now: then it may be refused yet.
    """
    for path, size, _ in specimen_files(fs, root, "spec"):
        if not is_open(path.removesuffix(".spec") + ".part"):
            yield path, size


@dataclass(frozen=True, slots=True)
class Stock:
    """What a start found: bytes of whole specimens and their number, and how many unfinished ones were removed."""

    bytes: int
    unfinished: int
    count: int = 0


def take_stock(fs: FileSystem, root: str, before_ns: int, is_open: Callable[[str], bool]) -> Stock:
    """Add up what an earlier process left, and remove what was still coming in when that ended: it was never
    acknowledged. Blocks; behind a start, for it lists every name, and there may be very many.

    :param before_ns: specimens received from this moment on are the present process's.
    :param is_open: whether a file is one that the present process writes to.
    """
    total = unfinished = count = 0
    for path, size, received_ns in specimen_files(fs, root, "spec", "part"):
        if path.endswith(".spec"):
            if received_ns < before_ns and size > len(WITHDRAWN):
                total += size
                count += 1
        elif not is_open(path):
            try:
                fs.unlink(path)
            except FileNotFoundError:
                continue  # one of the present process's, which has ended since its name was listed
            unfinished += 1
    return Stock(total, unfinished, count)


def oldest_ns(fs: FileSystem, root: str) -> int | None:
    """When the oldest specimen that waits was received, nanoseconds since 1970. Blocks; lists one hour, mostly."""
    top = os.path.join(root, Stream.SPECIMEN.value)
    for hour in sorted(entry.name for entry in fs.scan(top) if entry.is_dir):
        names = (entry.name for entry in fs.scan(os.path.join(top, hour)))
        found = [int(name[:20]) for name in names if name.endswith(".spec") and _NAME.fullmatch(name)]
        if found:
            return min(found)
    return None


def received_ns(path: str) -> int:
    """When a specimen was received, by its file's name."""
    return int(os.path.basename(path)[:20])


def key_counts(path: str, now_ns: int) -> bool:
    """Whether the idempotency key of a specimen still counts, by its file's name."""
    return received_ns(path) >= now_ns - HOUR_NS


def finish(fs: FileSystem, path: str, has_key: bool) -> None:
    """A specimen is in the store for certain: remove it. Where it had an idempotency key, its header stays for the hour
    in which that key counts. Blocks."""
    if not has_key:
        fs.unlink(path)
        return
    handle = fs.open(path, writable=True)
    try:
        _, offset = read_head(handle, path)
        kept = path.removesuffix(".spec") + ".key"
        fs.rename(path, kept)
        try:
            fs.sync_dir(os.path.dirname(path))  # else it could come back as a specimen without a body
            handle.truncate(offset)
        except OSError as error:
            # Not raised: it waits no more, and who tried again would find nothing under its old name.
            _log.warn("{path} takes up its whole size for an hour or two: {error}", path=kept, error=str(error))
    finally:
        handle.close()


def specimen_keys(fs: FileSystem, root: str, now_ns: int, quarantine: Quarantine) -> Iterator[KeyUse]:
    """The idempotency keys of specimens of the last hour. Blocks; reads headers only.

    Their names are made durable first, for the process that gave them may have been killed before it had done so. A
    kept key that is damaged is set aside; a damaged specimen is left for its shipper to find."""
    top = os.path.join(root, Stream.SPECIMEN.value)
    since = Slot.at(now_ns - HOUR_NS).name
    for hour in list(fs.scan(top)):
        if hour.is_dir and hour.name >= since:
            fs.sync_dir(os.path.join(top, hour.name))
    for ending in ("spec", "key"):
        for path, _, received_ns in specimen_files(fs, root, ending, since=since):
            if received_ns < now_ns - HOUR_NS:
                continue
            try:
                head = _head_of(fs, path)
            except FileNotFoundError:
                continue  # shipped in this moment; had it a key, it is found as such
            except Damaged as damage:
                if ending == "key":
                    quarantine.take(path, Stream.SPECIMEN.value, damage.why)
                continue
            except OSError as trouble:
                _log.warn("its idempotency key is not known: {trouble}", trouble=str(trouble))
                continue
            if head.key is not None:
                yield KeyUse(head.received_ns, Stream.SPECIMEN, head.user, head.key)


def _head_of(fs: FileSystem, path: str) -> Head:
    handle = fs.open(path)
    try:
        return read_head(handle, path)[0]
    finally:
        handle.close()


def drop_old_keys(fs: FileSystem, root: str, now_ns: int, searched: set[str] | None = None) -> int:
    """Remove the kept keys of hours of which none counts any more, and hours that are empty; how many keys. Blocks.

    :param searched: the folders of such hours that were searched by earlier calls, so that what waits in them for days
        is not listed again and again; kept up.
    """
    searched = set() if searched is None else searched
    dropped = 0
    top = os.path.join(root, Stream.SPECIMEN.value)
    for hour in list(fs.scan(top)):
        if not hour.is_dir or hour.name >= Slot.at(now_ns).name:
            continue
        folder = os.path.join(top, hour.name)
        if hour.name >= Slot.at(now_ns - HOUR_NS).name:
            searched.discard(folder)  # the clock was ahead
        elif folder not in searched:
            for path in [os.path.join(folder, entry.name) for entry in fs.scan(folder) if _is_key(entry.name)]:
                fs.unlink(path)
                dropped += 1
            searched.add(folder)
        if not any(True for _ in fs.scan(folder)):
            try:
                fs.remove_dir(folder)
                searched.discard(folder)
            except OSError as error:
                _log.debug("{folder} is in use again: {error}", folder=folder, error=str(error))
    return dropped


def _is_key(name: str) -> bool:
    return name.endswith(".key") and _NAME.fullmatch(name) is not None
