"""Replacing a small file so that a crash leaves the old one or the new one, whole. Owns that one sequence of
effects."""

from __future__ import annotations

import os

from lf6gateway.disk.filesystem import FileSystem

_LARGEST = 1 << 24


def replace_file(fs: FileSystem, path: str, data: bytes) -> None:
    """Write a file beside the old one, sync it, rename it over, sync the folder. Blocks.

    :raises OSError: it failed; the old file is there still, or the new one is.
    """
    temporary = path + ".tmp"
    if fs.exists(temporary):
        fs.unlink(temporary)
    handle = fs.create(temporary)
    try:
        handle.write([data])
        handle.sync()
    finally:
        handle.close()
    fs.rename(temporary, path)
    fs.sync_dir(os.path.dirname(path))


def read_small(fs: FileSystem, path: str) -> bytes:
    """All bytes of a small file. Blocks.

    :raises FileNotFoundError: there is none.
    """
    handle = fs.open(path)
    try:
        return handle.read_at(0, _LARGEST)
    finally:
        handle.close()
