"""What cannot be read is set aside here, whole, with a note of why. Owns ``cache_dir/quarantine``; must never delete or
change what it holds."""

from __future__ import annotations

import json
import os
import secrets
import threading
from datetime import UTC, datetime

from twisted.logger import Logger

from lf6gateway.disk.filesystem import FileSystem

_log = Logger()


class Quarantine:
    """The folder of what could not be read. All methods block; any thread may call them.

    :param fs: where it lies.
    :param root: ``cache_dir/quarantine``.
    """

    def __init__(self, fs: FileSystem, root: str) -> None:
        self._fs = fs
        self._root = root
        self._guard = threading.Lock()
        self.taken = 0
        self.taken_bytes = 0

    def take(self, path: str, stream: str, why: str) -> int:
        """Move a whole file here; returns its size in bytes. The note goes to disk first, so that no file lies here
        without one."""
        folder = self._folder(stream)
        target = self._unique(folder, os.path.basename(path))
        handle = self._fs.open(path)
        try:
            size = handle.size()
        finally:
            handle.close()
        self._note(target, {"from": path, "why": why, "bytes": size})
        self._fs.rename(path, target)
        try:
            self._fs.sync_dir(folder)
            self._fs.sync_dir(os.path.dirname(path))
        except OSError as error:
            # Not raised: it is here, and who tried again would find nothing where it was.
            _log.warn(
                "{path} is set aside, but a power failure now would put it back to {before}, from where it would be "
                "set aside again: {error}",
                path=target,
                before=path,
                error=str(error),
            )
        self._count(target, size, why)
        return size

    def keep(self, path: str, stream: str, why: str) -> None:
        """Give a file that is still needed where it is a second name here, as it cannot be copied whole."""
        folder = self._folder(stream)
        target = self._unique(folder, os.path.basename(path))
        self._note(target, {"from": path, "why": why})
        try:
            self._fs.link(path, target)
        except OSError as error:
            _log.error("{path} could not be kept in quarantine: {error}", path=path, error=str(error))
            return
        self._fs.sync_dir(folder)
        self._count(target, 0, why)

    def take_bytes(self, data: bytes, stream: str, name: str, why: str, offset: int) -> str:
        """Keep a copy of a byte range of a file that is otherwise sound; returns the copy's path."""
        folder = self._folder(stream)
        target = self._unique(folder, f"{os.path.basename(name)}.at-{offset}")
        self._note(target, {"from": name, "why": why, "offset": offset, "bytes": len(data)})
        handle = self._fs.create(target)
        try:
            handle.write([data])
            handle.sync()
        finally:
            handle.close()
        self._fs.sync_dir(folder)
        self._count(target, len(data), why)
        return target

    def _folder(self, stream: str) -> str:
        folder = os.path.join(self._root, stream)
        self._fs.make_dirs(folder)
        return folder

    def _unique(self, folder: str, name: str) -> str:
        # A name of 255 bytes leaves no room for the note's ending.
        name = name.encode("utf-8", "surrogateescape")[:180].decode("utf-8", "surrogateescape")
        target = os.path.join(folder, name)
        while self._fs.exists(target) or self._fs.exists(target + ".why.json"):
            target = os.path.join(folder, f"{name}.{secrets.token_hex(4)}")
        return target

    def _note(self, target: str, facts: dict[str, object]) -> None:
        facts["at"] = datetime.now(UTC).isoformat()
        text = json.dumps(facts, ensure_ascii=True).encode("ascii") + b"\n"
        handle = self._fs.create(target + ".why.json")
        try:
            handle.write([text])
            handle.sync()
        finally:
            handle.close()
        self._fs.sync_dir(os.path.dirname(target))

    def _count(self, target: str, size: int, why: str) -> None:
        with self._guard:
            self.taken += 1
            self.taken_bytes += size
        _log.error(
            "set aside, for it cannot be read: {path} ({size} bytes): {why}; nothing else is held up by it",
            path=target,
            size=size,
            why=why,
        )
