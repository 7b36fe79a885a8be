"""The tokens file on disk: read whole, and replaced so that nobody ever sees half of it. Owns its lock, its mode and
its owner; must never understand a line."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from lf6gateway.disk.filesystem import DIR_MODE, FILE_MODE

LARGEST: Final = 256 << 20
"""Bytes; what is larger is no tokens file."""


def read_tokens(path: str) -> str:
    """The file's text. Blocks.

    :raises OSError: it cannot be read.
    :raises ValueError: it is too large, or not UTF-8.
    """
    with open(path, "rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError(f"is larger than {LARGEST} bytes, so it is no tokens file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None


def open_to_others(path: str) -> bool:
    """Whether users other than the owner may read or write a file."""
    return bool(stat.S_IMODE(os.stat(path).st_mode) & 0o077)


def edit_tokens(path: str, edit: Callable[[str], str]) -> None:
    """Replace the file's text by what ``edit`` makes of it; a file that is not there counts as empty. One edit at a
    time: another process waits for its turn. Blocks.

    :raises OSError: it cannot be read or written; then it is as it was.
    """
    os.makedirs(os.path.dirname(path), DIR_MODE, exist_ok=True)
    with _locked(path + ".lock"):
        try:
            before = read_tokens(path)
        except FileNotFoundError:
            before = ""
        after = edit(before)
        if after != before or not before:
            _replace(path, after.encode())


@contextmanager
def _locked(path: str) -> Iterator[None]:
    # The lock stands beside the file, which is replaced: a lock on a file that was renamed away locks nobody out.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    try:
        _keep_owner(descriptor, os.path.dirname(path))
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: str, data: bytes) -> None:
    real = os.path.realpath(path)  # where the name is a link, the file behind it is replaced
    temporary = real + ".tmp"
    with suppress(FileNotFoundError):
        os.unlink(temporary)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    try:
        _keep_owner(descriptor, real)
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
        os.rename(temporary, real)
    except BaseException:
        os.unlink(temporary)
        raise
    finally:
        os.close(descriptor)
    folder = os.open(os.path.dirname(real), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _keep_owner(descriptor: int, path: str) -> None:
    """The gateway must be able to read what root has edited: the owner stays, or is that of the folder."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        found = os.stat(os.path.dirname(path))
    own = os.fstat(descriptor)
    if (found.st_uid, found.st_gid) != (own.st_uid, own.st_gid) and os.geteuid() == 0:
        os.fchown(descriptor, found.st_uid, found.st_gid)
