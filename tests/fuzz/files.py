"""Files in memory, for readers, which may write notes of their own beside what they read."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from lf6gateway.disk.filesystem import Entry, Room


class File:
    """An open file."""

    def __init__(self, files: Files, data: bytes) -> None:
        self._files = files
        self._data = data
        self._open = True
        files.opened += 1

    def read_at(self, offset: int, size: int) -> bytes:
        assert offset >= 0 and size >= 0
        return self._data[offset : offset + size]

    def size(self) -> int:
        return len(self._data)

    def sync(self) -> None:
        pass

    def close(self) -> None:
        if self._open:
            self._open = False
            self._files.opened -= 1

    def write(self, parts: Sequence[bytes | bytearray | memoryview]) -> None:
        pass

    def patch(self, offset: int, data: bytes) -> None:
        raise NotImplementedError

    def truncate(self, size: int) -> None:
        raise NotImplementedError


class Files:
    """Files that never change; ``opened`` counts those not closed again."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._files = files
        self.opened = 0

    def open(self, path: str, *, writable: bool = False) -> File:
        if path not in self._files:
            raise FileNotFoundError(path)
        return File(self, self._files[path])

    def exists(self, path: str) -> bool:
        return path in self._files or any(name.startswith(path + "/") for name in self._files)

    def scan(self, path: str) -> Iterator[Entry]:
        names = {name[len(path) + 1 :].split("/")[0] for name in self._files if name.startswith(path + "/")}
        for name in sorted(names):
            whole = os.path.join(path, name)
            yield Entry(name, whole not in self._files, len(self._files.get(whole, b"")), 0)

    def sync_dir(self, path: str) -> None:
        pass

    def create(self, path: str) -> File:
        return File(self, b"")

    def rename(self, source: str, target: str) -> None:
        pass

    def link(self, source: str, target: str) -> None:
        raise NotImplementedError

    def unlink(self, path: str) -> None:
        raise NotImplementedError

    def make_dirs(self, path: str) -> None:
        raise NotImplementedError

    def remove_dir(self, path: str) -> None:
        raise NotImplementedError

    def room(self, path: str) -> Room:
        raise NotImplementedError
