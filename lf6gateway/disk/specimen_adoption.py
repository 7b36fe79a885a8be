"""Adopting the specimens that the Go original left. Owns the order of effects: a copy in the spool's form is durable
before the source goes, and has a name that follows from the source's, so that doing it again replaces it."""

from __future__ import annotations

import os
from hashlib import sha256
from typing import Final

from lf6gateway.disk.filesystem import FileSystem, Handle
from lf6gateway.disk.quarantine import Quarantine
from lf6gateway.disk.specimen_file import Head, encode_head, encode_trailer
from lf6gateway.values.go_cache import OldSpecimen, parse_specimen
from lf6gateway.values.slot import Slot
from lf6gateway.values.stream import Stream

_PIECE: Final = 1 << 20
_PLACES: Final = ("uploading", "")
USER: Final = "unknown"
"""The original's files do not say who sent them, and it shipped them under this name after a restart."""


class SpecimenAdoption:
    """Adopts specimens. All methods block; at a start only.

    :param root: ``cache_dir/spool``.
    """

    def __init__(self, fs: FileSystem, cache_dir: str, root: str, *, quarantine: Quarantine) -> None:
        self._fs = fs
        self._old = os.path.join(cache_dir, Stream.SPECIMEN.value)
        self._top = os.path.join(root, Stream.SPECIMEN.value)
        self._quarantine = quarantine

    def run(self) -> int:
        """Adopt every specimen there is; how many."""
        count = 0
        for place in _PLACES:
            folder = os.path.join(self._old, place).rstrip("/")
            if not self._fs.exists(folder):
                continue
            for entry in list(self._fs.scan(folder)):
                if entry.is_dir:
                    continue
                path = os.path.join(folder, entry.name)
                old = parse_specimen(entry.name)
                if old is None:
                    self._quarantine.take(path, Stream.SPECIMEN.value, "its name is none of the Go original's")
                    continue
                try:
                    self._adopt(path, entry.name, old)
                except _Unreadable as error:
                    self._quarantine.take(path, Stream.SPECIMEN.value, f"it cannot be read: {error}")
                else:
                    count += 1
            if not any(True for _ in self._fs.scan(folder)):
                self._fs.remove_dir(folder)
        return count

    def _adopt(self, source: str, name: str, old: OldSpecimen) -> None:
        identity = sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        folder = os.path.join(self._top, Slot.at(old.received_ns).name)
        self._fs.make_dirs(folder)
        target = os.path.join(folder, f"{old.received_ns:020d}-{identity}.spec")
        part = target.removesuffix(".spec") + ".part"
        if self._fs.exists(part):
            self._fs.unlink(part)
        body = _opened(self._fs, source)
        handle = self._fs.create(part)
        try:
            handle.write([encode_head(Head(identity, old.received_ns, USER, old.uri, None, None, "adopted"))])
            digest, length = sha256(), 0
            while data := _read(body, length):
                digest.update(data)
                length += len(data)
                handle.write([data])
            handle.write([encode_trailer(length, digest.digest())])
            handle.sync()
        finally:
            handle.close()
            body.close()
        self._fs.rename(part, target)
        self._fs.sync_dir(folder)
        self._fs.unlink(source)
        self._fs.sync_dir(os.path.dirname(source))


class _Unreadable(Exception):
    """The source cannot be read, which must not keep the gateway from starting."""


def _opened(fs: FileSystem, path: str) -> Handle:
    try:
        return fs.open(path)
    except OSError as error:
        raise _Unreadable(str(error)) from error


def _read(body: Handle, at: int) -> bytes:
    try:
        return body.read_at(at, _PIECE)
    except OSError as error:
        raise _Unreadable(str(error)) from error
