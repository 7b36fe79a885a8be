"""Replacing a small file so that a crash leaves the old one or the new one, whole. Owns that one sequence of
effects, and the trial of a disk that failed."""

from __future__ import annotations

import os
from collections.abc import Iterator

from lf6gateway.disk.filesystem import FileSystem

_PIECE = 1 << 20
_TRIAL = 64 * 1024


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
        handle.close()
        fs.rename(temporary, path)
    except OSError:
        handle.close()
        fs.unlink(temporary)
        raise
    fs.sync_dir(os.path.dirname(path))


def try_write(fs: FileSystem, path: str) -> None:
    """Write some bytes durably and remove them again, to see whether the disk takes any. Blocks.

    :raises OSError: it does not.
    """
    if fs.exists(path):
        fs.unlink(path)
    handle = fs.create(path)
    try:
        handle.write([bytes(_TRIAL)])
        handle.sync()
        fs.sync_dir(os.path.dirname(path))
    finally:
        handle.close()
        fs.unlink(path)


def read_pieces(fs: FileSystem, path: str) -> Iterator[bytes]:
    """A file's bytes, some at a time. Blocks.

    :raises FileNotFoundError: there is none.
    """
    handle = fs.open(path)
    try:
        at = 0
        while piece := handle.read_at(at, _PIECE):
            at += len(piece)
            yield piece
    finally:
        handle.close()


def read_small(fs: FileSystem, path: str) -> bytes:
    """All bytes of a file that is known to be small. Blocks.

    :raises FileNotFoundError: there is none.
    """
    return b"".join(read_pieces(fs, path))
