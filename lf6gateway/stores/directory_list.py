"""What lies in a folder store, as keys. Owns the walk through its folders, which goes no deeper than what is asked for;
must never change anything there. Blocks."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from typing import Final

from lf6gateway.stores.file_names import META, etag_of, file_name, stands_for_another
from lf6gateway.stores.store import Listed

_NO_STAT: Final = "?"


class DirectoryList:
    """The objects under a folder.

    :param root: the folder, as an absolute path.
    """

    def __init__(self, root: str) -> None:
        self._root = root

    def objects(self, prefix: str) -> list[Listed]:
        """The objects whose keys begin with a prefix, sorted by key.

        :raises OSError: a folder cannot be read.
        """
        found = []
        for path in self._files(self._start(prefix)):
            key = self._key(path)
            if not key.startswith(prefix):
                continue
            try:
                seen = os.stat(path, follow_symlinks=False)
            except FileNotFoundError:  # since the folder was read
                continue
            if stat.S_ISREG(seen.st_mode):
                found.append(Listed(key, seen.st_size, etag_of(seen), seen.st_mtime_ns))
        return sorted(found, key=lambda one: one.key.encode("utf-8", "surrogateescape"))

    def folders(self, prefix: str) -> list[str]:
        """The names of the folders right below a prefix that is empty or ends in a slash, sorted.

        :raises OSError: a folder cannot be read.
        """
        names = set()
        depth = prefix.count("/")
        for entry in _entries(self._start(prefix)):
            if not entry.is_dir(follow_symlinks=False) or entry.name.startswith("."):
                continue
            name = entry.name
            if stands_for_another(name):
                first = next(self._files(entry.path), None)
                name = self._key(first).split("/")[depth] if first is not None else name
            names.add(name)
        return sorted(names)

    def _start(self, prefix: str) -> str:
        """The deepest folder that holds everything with that prefix."""
        names = prefix.split("/")[:-1]
        if any(name in ("", ".", "..") or "\0" in name for name in names):
            return os.path.join(self._root, META, _NO_STAT)  # no key is so, and nothing is there
        return os.path.join(self._root, *map(file_name, names))

    def _files(self, folder: str) -> Iterator[str]:
        for path, folders, files in os.walk(folder, onerror=_unless_gone):
            folders[:] = [name for name in folders if not name.startswith(".")]
            yield from (os.path.join(path, name) for name in files if not name.startswith("."))

    def _key(self, path: str) -> str:
        """The key of a file. One whose name had to be changed is noted beside it."""
        relative = os.path.relpath(path, self._root)
        if not any(map(stands_for_another, relative.split("/"))):
            return relative
        try:
            with open(os.path.join(self._root, META, relative) + ".json", "rb") as file:
                key = json.load(file)["key"]
        except (OSError, ValueError, KeyError, TypeError):
            return relative  # nobody noted it: somebody else's file, or of a version before
        fits = isinstance(key, str) and "/".join(map(file_name, key.split("/"))) == relative
        return key if fits else relative


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error
