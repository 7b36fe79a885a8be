"""The beginning of a file that was set aside, for a person to look at. Owns how a name is found, by comparing it with
what lies in quarantine, so that no name leads elsewhere; must never read more than was asked for, nor follow a link."""

from __future__ import annotations

import os
from dataclasses import dataclass

from lf6gateway.disk.filesystem import FileSystem


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a file begins with.

    :param size: of the whole file, in bytes.
    """

    name: str
    size: int
    data: bytes


def beginning(fs: FileSystem, root: str, name: str, most: int) -> Beginning | None:
    """The first bytes of a file in quarantine; ``None``: there is none of that name. Blocks.

    :param root: ``cache_dir/quarantine``.
    :param name: folder and file, as a listing tells it.
    :param most: how many bytes.
    :raises OSError: it cannot be read.
    """
    for folder in fs.scan(root):
        if not folder.is_dir or not name.startswith(f"{told(folder.name)}/"):
            continue
        for entry in fs.scan(os.path.join(root, folder.name)):
            if entry.is_dir or f"{told(folder.name)}/{told(entry.name)}" != name:
                continue
            data = b""
            if entry.size:  # what has no size may be no file, and opening it would wait for somebody to write
                handle = fs.open(os.path.join(root, folder.name, entry.name))
                try:
                    data = handle.read_at(0, min(most, entry.size))
                finally:
                    handle.close()
            return Beginning(name, entry.size, data)
    return None


def told(name: str) -> str:
    """A file's name as it can be written down."""
    return name.encode("utf-8", "replace").decode("utf-8")
