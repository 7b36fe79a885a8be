"""A disk that keeps only what was synced. Owns files, names and what a crash does to them: writes that were not synced are
torn, left out or zeros, in any order; names that were not synced are kept or not, each by itself; after a failed sync
the pages count as clean and may be lost for good; bits flip, and sectors cannot be read any more."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from lf6gateway.disk.filesystem import DurableFolders, Entry, Room
from tests.simulation.chance import Chance


class PowerLost(BaseException):
    """Raised to whoever still runs on a machine that is off."""


@dataclass
class Faults:
    """How often each thing goes wrong, as probabilities."""

    write: float = 0.0
    sync: float = 0.0
    names: float = 0.0
    sync_names: float = 0.0
    capacity: int | None = None


@dataclass(eq=False)
class Inode:
    """A file. ``data`` is what is read; ``durable`` what is on the platter; ``pending`` the writes between the two,
    ``lost`` those that a failed sync left in limbo, and ``bad`` the spans that cannot be read."""

    data: bytearray = field(default_factory=bytearray)
    durable: bytes = b""
    pending: list[tuple[int, bytes]] = field(default_factory=list)  # (offset, data); data None: cut to offset
    lost: list[tuple[int, bytes]] = field(default_factory=list)
    bad: list[tuple[int, int]] = field(default_factory=list)


CUT = b"\xff cut \xff"


def _apply(data: bytearray, writes: Sequence[tuple[int, bytes]]) -> bytearray:
    for offset, piece in writes:
        if piece is CUT:
            del data[offset:]
            data.extend(b"\0" * (offset - len(data)))
            continue
        if len(data) < offset:
            data.extend(b"\0" * (offset - len(data)))
        data[offset : offset + len(piece)] = piece
    return data


def _parents(path: str) -> list[str]:
    found = []
    while (path := os.path.dirname(path)) != "/":
        found.append(path)
    return found[::-1]


@dataclass
class Change:
    """Names that change together: path → inode, directory (``True``) or nothing (``None``)."""

    entries: list[tuple[str, Inode | bool | None]]


Names = dict[str, "Inode | bool"]


class Disk:
    """See the module.

    :param step: called before each effect; it may let others run first.
    """

    def __init__(self, chance: Chance, step: Callable[[str], None], counts: Counter[str]) -> None:
        self._chance = chance
        self._step = step
        self._counts = counts
        self.faults = Faults()
        self.calm = True
        self.names: Names = {"/": True}
        self.durable_names: Names = {"/": True}
        self.pending: list[Change] = []
        self.epoch = 0
        self.effects = 0
        self.unsynced_lost = False
        self.withdrawn: set[str] = set()
        """Files of specimens that were made ones of refused specimens; a power loss in that moment can tear them."""
        """Writes that were not synced may have been torn: damage in unsynced places of segments is to be expected."""

    # What the gateway sees.

    def create(self, path: str) -> Handle:
        self._begin("create", path)
        self._parent(path)
        if path in self.names:
            raise FileExistsError(errno.EEXIST, "File exists", path)
        self._maybe("names", self.faults.names, path)
        self._full(path)
        inode = Inode()
        self._change(Change([(path, inode)]))
        return Handle(self, inode, path)

    def open(self, path: str, *, writable: bool = False) -> Handle:
        self._alive()
        return Handle(self, self._file(path), path)

    def rename(self, source: str, target: str) -> None:
        self._begin("rename", source)
        inode = self._file(source)
        self._parent(target)
        self._maybe("names", self.faults.names, source)
        self._change(Change([(source, None), (target, inode)]))

    def link(self, source: str, target: str) -> None:
        self._begin("link", source)
        inode = self._file(source)
        self._parent(target)
        if target in self.names:
            raise FileExistsError(errno.EEXIST, "File exists", target)
        self._change(Change([(target, inode)]))

    def unlink(self, path: str) -> None:
        self._begin("unlink", path)
        self._file(path)
        self._maybe("names", self.faults.names, path)
        self._change(Change([(path, None)]))

    def make_dir(self, path: str) -> None:
        self._begin("mkdir", path)
        if path in self.names:
            raise FileExistsError(errno.EEXIST, "File exists", path)
        self._parent(path)
        self._maybe("names", self.faults.names, path)
        self._full(path)
        self._change(Change([(path, True)]))

    def is_dir(self, path: str) -> bool:
        self._alive()
        return self.names.get(path) is True

    def remove_dir(self, path: str) -> None:
        self._begin("rmdir", path)
        if self.names.get(path) is not True:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        if any(name.startswith(path + "/") for name in self.names):
            raise OSError(errno.ENOTEMPTY, "Directory not empty", path)
        self._change(Change([(path, None)]))

    def sync_dir(self, path: str) -> None:
        self._begin("sync names", path)
        if self.names.get(path) is not True:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        self._maybe("sync names", self.faults.sync_names, path)
        kept = []
        # What changes names elsewhere as well, or came before a change of the same name, becomes durable with it.
        wanted: set[str] = set()
        for change in reversed(self.pending):
            names = {name for name, _ in change.entries}
            if names & wanted or any(os.path.dirname(name) == path for name in names):
                wanted |= names
                kept.append(change)
        for change in reversed(kept):
            self._settle(change)
        self.pending = [change for change in self.pending if not any(change is one for one in kept)]

    def scan(self, path: str) -> Iterator[Entry]:
        self._alive()
        front = path.rstrip("/") + "/"
        found = [
            (name[len(front) :], value)
            for name, value in self.names.items()
            if name.startswith(front) and "/" not in name[len(front) :] and name != front
        ]
        if len(found) > 1 and self._chance(0.5):
            found.reverse()
        for name, value in found:
            if front + name in self.names:
                yield Entry(name, value is True, len(value.data) if isinstance(value, Inode) else 0, 0)

    def exists(self, path: str) -> bool:
        self._alive()
        return path in self.names

    def room(self, path: str) -> Room:
        self._alive()
        capacity = self.faults.capacity
        return Room(1 << 40 if capacity is None else max(0, capacity - self.used()), None)

    def read_slice(self, path: str, offset: int, length: int) -> bytes:
        """As ``stores/producer.py`` reads a body."""
        return self.open(path).read_at(offset, length)

    # What the world does.

    def used(self) -> int:
        return sum(
            len(inode.data)
            for inode in {id(one): one for one in self.names.values() if isinstance(one, Inode)}.values()
        )

    def files(self, under: str) -> list[str]:
        return sorted(name for name, value in self.names.items() if isinstance(value, Inode) and name.startswith(under))

    def put(self, path: str, data: bytes) -> None:
        """A file that lay there before anything began, durably, with its folders."""
        for folder in _parents(path):
            self.names[folder] = self.durable_names[folder] = True
        self.names[path] = self.durable_names[path] = Inode(bytearray(data), data)

    def inode(self, path: str) -> Inode:
        """The file of a name."""
        return self._file(path)

    def crash(self, keep: float | None = None) -> None:
        """The power goes: what was not synced is kept as chance has it.

        :param keep: how likely each write and each name is kept; drawn if ``None``.
        """
        self.epoch += 1
        self.unsynced_lost = True
        if keep is None:
            keep = self._chance.of((0.0, 0.5, 1.0))
        refused: set[str] = set()
        for change in self.pending:
            names = {name for name, _ in change.entries}
            if names & refused or not (keep == 1.0 or (keep and self._chance(keep))):
                refused |= names
                self._counts["disk: name lost"] += 1
            else:
                if refused:
                    self._counts["disk: names reordered"] += 1
                self._settle(change)
        self.pending.clear()
        self.names = {
            name: value for name, value in self.durable_names.items() if self._reachable(name, self.durable_names)
        }
        self.durable_names = dict(self.names)
        inodes = {id(one): one for one in self.names.values() if isinstance(one, Inode)}.values()
        for inode in inodes:
            self._tear(inode, keep)

    def kill(self) -> None:
        """The process goes, the machine stays: nothing that was written is lost."""
        self.epoch += 1

    def _tear(self, inode: Inode, keep: float) -> None:
        data = bytearray(inode.durable)
        for offset, piece in [*inode.lost, *inode.pending]:
            if not (keep == 1.0 or (keep and self._chance(keep))):
                self._counts["disk: write lost"] += 1
                continue
            how = self._chance.below(5)
            if piece is CUT or how == 0:
                _apply(data, [(offset, piece)])
                continue
            at = self._chance.below(len(piece) + 1)
            if how == 1:
                self._counts["disk: write torn"] += 1
                _apply(data, [(offset, piece[:at])])
            elif how == 2:
                self._counts["disk: write zeros"] += 1
                _apply(data, [(offset, b"\0" * len(piece))])
            elif how == 3:
                self._counts["disk: write torn"] += 1
                _apply(data, [(offset, piece[:at] + b"\0" * (len(piece) - at))])
            else:
                self._counts["disk: end kept without its beginning"] += 1
                _apply(data, [(offset, b"\0" * at + piece[at:])])
        inode.data = data
        inode.durable = bytes(data)
        inode.pending.clear()
        inode.lost.clear()

    def _reachable(self, name: str, names: Names) -> bool:
        while name != "/":
            name = os.path.dirname(name)
            if names.get(name) is not True:
                return False
        return True

    def _settle(self, change: Change) -> None:
        for name, value in change.entries:
            if value is None:
                self.durable_names.pop(name, None)
            else:
                self.durable_names[name] = value

    def _change(self, change: Change) -> None:
        for name, value in change.entries:
            if value is None:
                del self.names[name]
            else:
                self.names[name] = value
        self.pending.append(change)

    def _begin(self, what: str, path: str) -> None:
        self._alive()
        self._step(f"{what} {path}")
        self._alive()
        self.effects += 1

    def _alive(self) -> None:
        """Only replaced while a machine is off."""

    def _maybe(self, what: str, probability: float, path: str) -> None:
        if not self.calm and self._chance(probability):
            self._counts[f"disk: EIO on {what}"] += 1
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    def _full(self, path: str) -> None:
        if not self.calm and self.faults.capacity is not None and self.used() >= self.faults.capacity:
            self._counts["disk: full for a name"] += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    def _file(self, path: str) -> Inode:
        found = self.names.get(path)
        if not isinstance(found, Inode):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)
        return found

    def _parent(self, path: str) -> None:
        if self.names.get(os.path.dirname(path)) is not True:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)


class Handle:
    """An open file."""

    def __init__(self, disk: Disk, inode: Inode, path: str) -> None:
        self._disk = disk
        self._inode = inode
        self._path = path
        self._epoch = disk.epoch

    def write(self, parts: Sequence[bytes | bytearray | memoryview]) -> None:
        data = b"".join(bytes(part) for part in parts)
        disk, inode = self._disk, self._inode
        self._begin("write")
        faults = disk.faults
        if faults.capacity is not None and not disk.calm and disk.used() + len(data) > faults.capacity:
            self._write(len(inode.data), data[: max(0, faults.capacity - disk.used())])
            disk._counts["disk: full"] += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self._path)
        if not disk.calm and disk._chance(faults.write):
            disk._counts["disk: EIO on write"] += 1
            self._write(len(inode.data), data[: disk._chance.below(len(data) + 1)])
            raise OSError(errno.EIO, os.strerror(errno.EIO), self._path)
        self._write(len(inode.data), data)

    def _write(self, offset: int, data: bytes) -> None:
        if data:
            self._inode.pending.append((offset, data))
            _apply(self._inode.data, [(offset, data)])

    def read_at(self, offset: int, size: int) -> bytes:
        self._disk._alive()
        for start, end in self._inode.bad:
            if offset < end and start < offset + size:
                self._disk._counts["disk: EIO on read"] += 1
                raise OSError(errno.EIO, os.strerror(errno.EIO), self._path)
        return bytes(self._inode.data[offset : offset + size])

    def size(self) -> int:
        return len(self._inode.data)

    def patch(self, offset: int, data: bytes) -> None:
        self._begin("patch")
        if self._path.endswith(".spec"):
            self._disk.withdrawn.add(self._path)
        self._write(offset, data)

    def truncate(self, size: int) -> None:
        self._begin("truncate")
        self._disk._maybe("cut", self._disk.faults.names, self._path)
        self._inode.pending.append((size, CUT))
        _apply(self._inode.data, [(size, CUT)])

    def sync(self) -> None:
        self._begin("sync")
        inode = self._inode
        if not self._disk.calm and self._disk._chance(self._disk.faults.sync):
            self._disk._counts["disk: EIO on sync"] += 1
            self._disk.unsynced_lost = True
            inode.lost += inode.pending
            inode.pending.clear()
            raise OSError(errno.EIO, os.strerror(errno.EIO), self._path)
        if inode.lost:
            # Only what was written since the failed sync reaches the platter.
            inode.durable = bytes(_apply(bytearray(inode.durable), inode.pending))
            for size in [offset for offset, piece in inode.pending if piece is CUT]:
                # Pages behind a cut are gone from memory too.
                inode.lost = [one for one in inode.lost if one[1] is not CUT and one[0] < size]
        else:
            inode.durable = bytes(inode.data)
        inode.pending.clear()

    def close(self) -> None:
        """Nothing is held."""

    def _begin(self, what: str) -> None:
        if self._disk.epoch != self._epoch:
            raise PowerLost
        self._disk._begin(what, self._path)
        if self._disk.epoch != self._epoch:
            raise PowerLost


class Mount(DurableFolders):
    """The disk as one life of a gateway sees it; with that life it ends, whoever still holds it."""

    def __init__(self, disk: Disk) -> None:
        super().__init__()
        self._disk = disk
        self._epoch = disk.epoch

    def _on(self) -> Disk:
        if self._disk.epoch != self._epoch:
            raise PowerLost
        return self._disk

    def create(self, path: str) -> Handle:
        return self._on().create(path)

    def open(self, path: str, *, writable: bool = False) -> Handle:
        return self._on().open(path, writable=writable)

    def rename(self, source: str, target: str) -> None:
        self._on().rename(source, target)

    def link(self, source: str, target: str) -> None:
        self._on().link(source, target)

    def unlink(self, path: str) -> None:
        self._on().unlink(path)

    def make_dir(self, path: str) -> None:
        self._on().make_dir(path)

    def is_dir(self, path: str) -> bool:
        return self._on().is_dir(path)

    def remove_dir(self, path: str) -> None:
        self._on().remove_dir(path)
        self.forget(path)

    def sync_dir(self, path: str) -> None:
        self._on().sync_dir(path)

    def scan(self, path: str) -> Iterator[Entry]:
        for entry in self._on().scan(path):
            self._on()
            yield entry

    def exists(self, path: str) -> bool:
        return self._on().exists(path)

    def room(self, path: str) -> Room:
        return self._on().room(path)

    def read_slice(self, path: str, offset: int, length: int) -> bytes:
        return self._on().read_slice(path, offset, length)
