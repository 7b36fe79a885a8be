"""The folder of specimens: beginning new ones, finding those that wait, and removing what was shipped. Owns the names
there; the files' format is in ``specimen_file.py``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator

from twisted.logger import Logger

from lf6gateway.disk.damaged import Damaged
from lf6gateway.disk.filesystem import FileSystem
from lf6gateway.disk.offload import Offload
from lf6gateway.disk.space import Space
from lf6gateway.disk.specimen_file import Head, read_head
from lf6gateway.disk.specimen_writer import SpecimenWriter
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
    """

    def __init__(
        self,
        *,
        fs: FileSystem,
        root: str,
        offload: Offload,
        space: Space,
        new_id: Callable[[], str],
        committed: Callable[[str, int], None],
    ) -> None:
        self._fs = fs
        self._top = os.path.join(root, Stream.SPECIMEN.value)
        self._offload = offload
        self._space = space
        self._new_id = new_id
        self._committed = committed

    def begin(
        self, *, received_ns: int, user: str, uri: str, content_type: str | None, key: str | None, request_id: str
    ) -> SpecimenWriter:
        """A new specimen, empty; nothing is on disk yet.

        :param received_ns: of which no two specimens have the same.
        """
        identity = self._new_id()
        name = f"{received_ns:020d}-{identity}.part"
        return SpecimenWriter(
            fs=self._fs,
            path=os.path.join(self._top, Slot.at(received_ns).name, name),
            head=Head(identity, received_ns, user, uri, content_type, key, request_id),
            offload=self._offload,
            space=self._space,
            committed=self._committed,
        )


def _entries(fs: FileSystem, root: str, ending: str) -> Iterator[tuple[str, int, int]]:
    """Path, size and moment of reception of the files of one ending, oldest hour first."""
    top = os.path.join(root, Stream.SPECIMEN.value)
    for hour in sorted(entry.name for entry in fs.scan(top) if entry.is_dir):
        folder = os.path.join(top, hour)
        for entry in fs.scan(folder):
            found = _NAME.fullmatch(entry.name)
            if found is not None and found[3] == ending:
                yield os.path.join(folder, entry.name), entry.size, int(found[1])


def waiting_specimens(fs: FileSystem, root: str) -> Iterator[tuple[str, int]]:
    """Path and size of each whole specimen, oldest hour first, found as they are asked for. Blocks."""
    for path, size, _ in _entries(fs, root, "spec"):
        yield path, size


def remove_unfinished(fs: FileSystem, root: str) -> int:
    """Remove what was still coming in when the process ended: it was never acknowledged. Blocks; at a start only."""
    count = 0
    for path, _, _ in list(_entries(fs, root, "part")):
        fs.unlink(path)
        count += 1
    return count


def finish(fs: FileSystem, path: str, has_key: bool) -> None:
    """A specimen is in the store for certain: remove it. Where it had an idempotency key, its header stays for the hour
    in which that key counts. Blocks."""
    if not has_key:
        fs.unlink(path)
        return
    handle = fs.open(path, writable=True)
    try:
        _, offset = read_head(handle, path)
        fs.rename(path, path.removesuffix(".spec") + ".key")
        fs.sync_dir(os.path.dirname(path))  # else it could come back as a specimen without a body
        handle.truncate(offset)
    finally:
        handle.close()


def specimen_keys(fs: FileSystem, root: str, now_ns: int) -> Iterator[KeyUse]:
    """The idempotency keys of specimens of the last hour. Blocks; reads headers only.

    Their names are made durable first, for the process that gave them may have been killed before it had done so."""
    top = os.path.join(root, Stream.SPECIMEN.value)
    for hour in list(fs.scan(top)):
        if hour.is_dir and hour.name >= Slot.at(now_ns - HOUR_NS).name:
            fs.sync_dir(os.path.join(top, hour.name))
    for ending in ("spec", "key"):
        for path, _, received_ns in _entries(fs, root, ending):
            if received_ns < now_ns - HOUR_NS:
                continue
            try:
                head = _head_of(fs, path)
            except FileNotFoundError:
                continue  # shipped in this moment; had it a key, it is found as such
            except (Damaged, OSError) as trouble:
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


def drop_old_keys(fs: FileSystem, root: str, now_ns: int) -> int:
    """Remove the kept keys that count no more, and hours that are empty; how many keys. Blocks."""
    dropped = 0
    for path, _, received_ns in list(_entries(fs, root, "key")):
        if received_ns < now_ns - HOUR_NS:
            fs.unlink(path)
            dropped += 1
    top = os.path.join(root, Stream.SPECIMEN.value)
    for hour in list(fs.scan(top)):
        folder = os.path.join(top, hour.name)
        old = hour.is_dir and hour.name < Slot.at(now_ns).name
        if old and not any(True for _ in fs.scan(folder)):
            try:
                fs.remove_dir(folder)
            except OSError as error:
                _log.debug("{folder} is in use again: {error}", folder=folder, error=str(error))
    return dropped
