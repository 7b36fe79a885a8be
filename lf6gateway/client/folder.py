"""The folder of one process in the queue, the lock that says that it lives, and what others left beside it. Owns the
names of folders; must never decide what is sent or dropped.

``queue/<identity>/<pid>-<random>/`` is made under another name, locked, and then renamed: so a folder with its right
name whose lock is free belongs to nobody any more."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Final

from lf6gateway.client.parcel import OPEN, PART, READY, Parcel, parse_parcel, room_of

ASIDE: Final = "aside"
_LOCK: Final = "lock"
_NEW: Final = ".new-"


def sync_folder(path: str) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Folder:
    """See the module.

    :param root: the folder of the identity.
    :raises OSError: it cannot be made.
    """

    def __init__(self, root: str) -> None:
        self.root = root
        self._aside = os.path.join(root, ASIDE)
        os.makedirs(root, mode=0o700, exist_ok=True)
        os.makedirs(self._aside, mode=0o700, exist_ok=True)
        name = f"{os.getpid()}-{secrets.token_hex(4)}"
        new = os.path.join(root, _NEW + name)
        os.mkdir(new, 0o700)
        self._lock = os.open(os.path.join(new, _LOCK), os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.path = os.path.join(root, name)
        os.rename(new, self.path)
        sync_folder(root)

    def file(self, parcel: Parcel) -> str:
        """The path of a parcel's file."""
        return os.path.join(self.path, parcel.name)

    def aside_room(self) -> int:
        """What is taken up by what was set aside."""
        with os.scandir(self._aside) as found:
            return sum(room_of(entry.stat().st_size) for entry in found)

    def take_aside(self, parcel: Parcel, why: str) -> str:
        """Move a parcel's file to where nobody sends it, with a note of why."""
        to = os.path.join(self._aside, f"{parcel.created_ns:020d}-{parcel.key}.{parcel.stream}")
        note = {"stream": parcel.stream, "why": why, "created_ns": parcel.created_ns, "key": parcel.key}
        with open(to + ".why.json", "w", encoding="utf-8") as file:
            json.dump(note, file)
            file.flush()
            os.fsync(file.fileno())
        os.rename(self.file(parcel), to)
        sync_folder(self._aside)
        sync_folder(self.path)
        return to

    def strangers(self) -> int:
        """How many other identities have left something in the same queue."""
        count = 0
        above, own = os.path.split(self.root)
        for identity in os.listdir(above):
            folder = os.path.join(above, identity)
            if identity != own and os.path.isdir(folder):
                count += any(
                    parse_parcel(name, 0) is not None
                    for process in self._others(folder)
                    for name in os.listdir(os.path.join(folder, process))
                )
        return count

    def adopt(self) -> Iterator[Parcel]:
        """Move here what processes that are gone have left; batches that were still growing are ended."""
        for name in self._others(self.root):
            other = os.path.join(self.root, name)
            try:
                lock = os.open(os.path.join(other, _LOCK), os.O_RDWR)
            except FileNotFoundError:
                # Somebody else has just emptied it, or died before the folder itself was removed.
                with suppress(OSError):
                    os.rmdir(other)
                continue
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # its process lives
            else:
                yield from self._empty(other)
            finally:
                os.close(lock)

    def _others(self, folder: str) -> list[str]:
        return [
            name
            for name in sorted(os.listdir(folder))
            if name[:1].isdigit() and os.path.join(folder, name) != getattr(self, "path", None)
        ]

    def _empty(self, other: str) -> Iterator[Parcel]:
        moved = []
        for name in sorted(os.listdir(other)):
            path = os.path.join(other, name)
            parcel = parse_parcel(name, os.stat(path).st_size)
            if parcel is None:
                continue
            if parcel.state == PART:
                os.unlink(path)
                continue
            if parcel.state == OPEN:
                parcel = _ended(path, parcel)
                if parcel is None:
                    continue
            os.rename(path, self.file(parcel))
            moved.append(parcel)
        sync_folder(self.path)
        for name in os.listdir(other):  # the lock, and whatever else is none of ours
            if name == _LOCK:
                os.unlink(os.path.join(other, name))
        with suppress(OSError):  # something of somebody else's lies in it
            os.rmdir(other)
        yield from moved

    def close(self) -> None:
        """Give the lock up, and the folder where it is empty."""
        if self._lock < 0:
            return
        if os.listdir(self.path) == [_LOCK]:
            with suppress(OSError):  # it goes when it is found empty
                os.unlink(os.path.join(self.path, _LOCK))
                os.rmdir(self.path)
        self.forget()

    def forget(self) -> None:
        """Let go of the lock without giving it up for another process that holds it, too."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _ended(path: str, parcel: Parcel) -> Parcel | None:
    """A batch that was growing when its process ended, cut behind its last whole line; ``None``: nothing is in it."""
    with open(path, "r+b") as file:
        data = file.read()
        size = data.rfind(b"\n") + 1
        if size != len(data):
            file.truncate(size)
            os.fsync(file.fileno())
    if not size:
        os.unlink(path)
        return None
    return replace(parcel, size=size, state=READY)
