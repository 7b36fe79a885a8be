"""A folder as an object store: the same keys, written under it. Owns the files there; must never write outside of it,
nor show a half-written object under its key.

An object is written beside its place, synced, renamed, and its folder synced. The metadata lie in a tree of their own,
``.meta``, bound to the object by its ETag; an object that somebody else put there has none, and that is no error.
Conditions hold between processes too: writers of one folder take turns by a lock file, so one name is enough for what
is half-written, and what a crash left under it is written over."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import secrets
import stat
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import BinaryIO, Final, TypeVar

from lf6gateway.disk.offload import Offload
from lf6gateway.stores.comparison import must_be
from lf6gateway.stores.directory_list import DirectoryList
from lf6gateway.stores.file_names import META, etag_of, file_name
from lf6gateway.stores.open_file import OpenFile
from lf6gateway.stores.store import Absent, Body, Capabilities, Condition, Listed, Present, Unchanged
from lf6gateway.values.failure import Kind, StoreError

T = TypeVar("T")

_CHUNK: Final = 1 << 20
_PAGE: Final = 1000
_PART: Final = ".lf6gateway.part"
_TURN_S: Final = 30.0
"""Seconds a writer waits for its turn in a folder."""
_THIS_OBJECT: Final = frozenset({errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
"""What is wrong with one key, and with no other."""
_FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})

ABILITIES: Final = Capabilities(
    put_if_absent=True,
    put_if_match=True,
    complete_if_match=True,
    complete_if_absent=True,
    part_copy=True,
    copy_if_match=True,
    checksum=None,
    checksum_verified=False,
    append_min=1,
)


class DirectoryStore:
    """See the module.

    :param root: the folder; made when something is written.
    :param offload: does everything that touches the disk.
    """

    def __init__(self, root: str, *, offload: Offload) -> None:
        self._root = os.path.abspath(root)
        self._offload = offload
        self._listing = DirectoryList(self._root)

    async def capabilities(self) -> Capabilities:
        """See ``ObjectStore``."""
        return ABILITIES

    async def head(self, key: str) -> Present | None:
        """See ``ObjectStore``."""
        return await self._do(f"look at {key}", lambda: self._head(key), reading=True)

    async def get(
        self, key: str, *, if_match: str | None = None, start: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        """See ``ObjectStore``."""
        what = f"read {key}"
        file = await self._do(what, lambda: OpenFile(self._opened(key, if_match)), reading=True)
        try:
            offset, end = start, None if length is None else start + length
            while size := _CHUNK if end is None else min(_CHUNK, end - offset):
                chunk = await self._do(what, partial(file.read, size, offset), reading=True)
                if not chunk:
                    return
                offset += len(chunk)
                yield chunk
        finally:
            file.close()

    async def put(
        self,
        key: str,
        body: Body,
        *,
        metadata: Mapping[str, str],
        content_type: str,
        condition: Condition = None,
    ) -> Present:
        """See ``ObjectStore``."""
        return await self._do(
            f"write {key}", lambda: self._write(key, None, body, dict(metadata), content_type, condition)
        )

    async def append(
        self, key: str, present: Present, tail: Body, *, metadata: Mapping[str, str], content_type: str
    ) -> Present:
        """See ``ObjectStore``."""
        condition = Unchanged(present.etag)
        return await self._do(
            f"append to {key}", lambda: self._write(key, present, tail, dict(metadata), content_type, condition)
        )

    async def delete(self, key: str) -> None:
        """See ``ObjectStore``."""
        await self._do(f"remove {key}", lambda: self._delete(key))

    async def list_keys(self, prefix: str) -> Sequence[str]:
        """See ``ObjectStore``."""
        found = await self._do(f"list {prefix}", lambda: self._listing.objects(prefix), reading=True)
        return [one.key for one in found]

    async def listed(self, prefix: str, *, after: str = "") -> AsyncIterator[Sequence[Listed]]:
        """See ``ObjectStore``."""
        found = await self._do(f"list {prefix}", lambda: self._listing.objects(prefix), reading=True)
        for start in range(0, len(found), _PAGE):
            yield [one for one in found[start : start + _PAGE] if one.key > after]

    async def folders(self, prefix: str) -> Sequence[str]:
        """See ``ObjectStore``."""
        return await self._do(f"list {prefix}", lambda: self._listing.folders(prefix), reading=True)

    async def abort_uploads(self, key: str, *, before_ns: int) -> int:
        """See ``ObjectStore``: removes what a crash left half-written beside the object."""
        return await self._do(f"clean up beside {key}", lambda: self._clean(key, before_ns))

    async def close(self) -> None:
        """See ``ObjectStore``."""

    async def _do(self, what: str, work: Callable[[], T], *, reading: bool = False) -> T:
        def guarded() -> T:
            try:
                return work()
            except OSError as error:
                raise self._error(what, error, reading) from error

        return await self._offload(guarded)

    def _error(self, what: str, error: OSError, reading: bool = False) -> StoreError:
        what, detail = f"{what} under {self._root}", error.strerror or str(error)
        if error.errno in _THIS_OBJECT:
            remedy = "something else is in the way of that object; look at the folder, and move it"
            return StoreError(Kind.REFUSED, what, detail, remedy=remedy, applied=False)
        kind = Kind.DENIED if error.errno in _FORBIDDEN else Kind.TRANSIENT
        remedy = f"let the gateway's user write {self._root}, on a disk with room"
        if reading:
            remedy = f"let this user read {self._root}; what a gateway writes there is for its own user alone"
        return StoreError(kind, what, detail, remedy=remedy)

    def _path(self, key: str, root: str | None = None) -> str:
        """The file of a key.

        :raises StoreError: the key would lead elsewhere."""
        names = key.split("/")
        if any(name in ("", ".", "..") or "\0" in name for name in names):
            raise StoreError(
                Kind.REFUSED, f"find {key!r} under {self._root}", "no such key can be a file", applied=False
            )
        path = os.path.join(root or self._root, *map(file_name, names))
        folder = os.path.dirname(path)
        real = os.path.realpath(folder)
        top = os.path.realpath(self._root)
        if real != top and not real.startswith(top + os.sep):
            raise StoreError(
                Kind.REFUSED, f"find {key!r} under {self._root}", "a symbolic link leads out of it", applied=False
            )
        return path

    def _meta(self, key: str) -> str:
        return self._path(key, os.path.join(self._root, META)) + ".json"

    def _head(self, key: str) -> Present | None:
        try:
            found = os.stat(self._path(key), follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None
        _must_be_file(found)
        etag = etag_of(found)
        try:
            with open(self._meta(key), "rb") as file:
                noted = json.load(file)
            metadata = noted["metadata"] if noted["etag"] == etag else {}
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            metadata = {}
        return Present(etag, found.st_size, metadata)

    def _opened(self, key: str, if_match: str | None) -> int:
        try:
            descriptor = os.open(self._path(key), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except (FileNotFoundError, NotADirectoryError):
            raise StoreError(Kind.GONE, f"read {key}", "there is no such object", applied=False) from None
        try:
            found = os.fstat(descriptor)
            _must_be_file(found)
            if if_match is not None and etag_of(found) != if_match:
                raise StoreError(Kind.CONFLICT, f"read {key}", "it is another object now", applied=False)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _write(
        self,
        key: str,
        present: Present | None,
        body: Body,
        metadata: dict[str, str],
        content_type: str,
        condition: Condition,
    ) -> Present:
        path = self._path(key)
        folder = os.path.dirname(path)
        _make_dirs(folder)
        with self._turn(key):
            self._check(key, condition)
            temporary = os.path.join(folder, _PART)
            try:
                with _fresh(temporary) as out:
                    if present is not None:
                        with open(path, "rb") as before:
                            _copy(before.fileno(), out.fileno(), 0, present.size)
                    for piece in body.slices:
                        start = out.seek(0, os.SEEK_END)
                        with _opened_piece(piece.path) as source:
                            _copy(source.fileno(), out.fileno(), piece.offset, piece.length)
                        if piece.sha256 is not None:
                            must_be(piece, _digest_of(out.fileno(), start, piece.length))
                    _mark(out.fileno())
                    os.fsync(out.fileno())
                    etag = etag_of(os.fstat(out.fileno()))
                    size = os.fstat(out.fileno()).st_size
                self._note(key, {"key": key, "etag": etag, "metadata": metadata, "content_type": content_type})
                os.rename(temporary, path)
            except BaseException:
                if os.path.lexists(temporary):
                    os.unlink(temporary)
                raise
            _sync_dir(folder)
        return Present(etag, size, metadata)

    @contextmanager
    def _turn(self, key: str) -> Iterator[None]:
        """One writer of a folder at a time, of whatever process."""
        folder = os.path.dirname(self._meta(key))
        _make_dirs(folder)
        descriptor = os.open(
            os.path.join(folder, ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        try:
            _lock(descriptor, folder)
            yield
        finally:
            os.close(descriptor)

    def _check(self, key: str, condition: Condition) -> None:
        if condition is None:
            return
        present = self._head(key)
        found = None if present is None else present.etag
        if found != (condition.etag if isinstance(condition, Unchanged) else None):
            raise StoreError(
                Kind.CONFLICT,
                f"write {key}",
                "it is there already" if isinstance(condition, Absent) else "it is another object now",
                applied=False,
            )

    def _note(self, key: str, facts: dict[str, object]) -> None:
        path = self._meta(key)
        folder = os.path.dirname(path)
        _make_dirs(folder)
        temporary = os.path.join(folder, _PART)
        with _fresh(temporary) as out:
            out.write(json.dumps(facts).encode("ascii"))
            out.flush()
            os.fsync(out.fileno())
        os.rename(temporary, path)
        _sync_dir(folder)

    def _delete(self, key: str) -> None:
        for path in (self._path(key), self._meta(key)):
            try:
                os.unlink(path)
                _sync_dir(os.path.dirname(path))
            except FileNotFoundError:
                continue

    def _clean(self, key: str, before_ns: int) -> int:
        folders = (os.path.dirname(self._path(key)), os.path.dirname(self._meta(key)))
        if not os.path.isdir(folders[0]):
            return 0
        with self._turn(key):
            left = [os.path.join(folder, _PART) for folder in folders]
            left = [path for path in left if os.path.lexists(path) and os.lstat(path).st_mtime_ns < before_ns]
            for path in left:
                os.unlink(path)
        return len(left)


def _must_be_file(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        number = errno.EISDIR if stat.S_ISDIR(found.st_mode) else errno.ELOOP
        raise OSError(number, "there is something that is no file")


def _lock(descriptor: int, folder: str) -> None:
    """Wait for the turn, but not for ever: another writer may be stopped."""
    until = time.monotonic() + _TURN_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= until:
                raise StoreError(
                    Kind.TRANSIENT,
                    f"write in {folder}",
                    f"another writer has held it for {_TURN_S:.0f} s",
                    applied=False,
                ) from None
            time.sleep(0.01)
        else:
            return


def _private(path: str, flags: int) -> int:
    """Opens a file for nobody else."""
    return os.open(path, flags, 0o600)


def _fresh(path: str) -> BinaryIO:
    """An empty file of that name; what a crash left there goes."""
    with suppress(FileNotFoundError):
        os.unlink(path)
    return open(path, "x+b", opener=_private)


def _opened_piece(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as error:
        raise StoreError(Kind.DAMAGED, f"read {path}", error.strerror or str(error), applied=False) from error


def _mark(descriptor: int) -> None:
    """Give a file a time of change that no other has, though the system's clock stands still for milliseconds and file
    numbers are used again."""
    second = os.fstat(descriptor).st_mtime_ns // 1_000_000_000
    moment = second * 1_000_000_000 + secrets.randbelow(1_000_000_000)
    os.utime(descriptor, ns=(moment, moment))


def _copy(source: int, target: int, offset: int, length: int) -> None:
    while length:
        try:
            copied = os.copy_file_range(source, target, min(length, 1 << 30), offset)
        except OSError:
            # Not on every pair of file systems.
            data = os.pread(source, min(length, _CHUNK), offset)
            view = memoryview(data)
            while view:
                view = view[os.write(target, view) :]
            copied = len(data)
        if not copied:
            raise StoreError(Kind.DAMAGED, "copy into the object", "a file is shorter than it was", applied=False)
        offset += copied
        length -= copied


def _digest_of(descriptor: int, offset: int, length: int) -> str:
    digest = hashlib.sha256()
    for start in range(offset, offset + length, _CHUNK):
        digest.update(os.pread(descriptor, min(_CHUNK, offset + length - start), start))
    return digest.hexdigest()


def _make_dirs(folder: str) -> None:
    missing = []
    while not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    for one in reversed(missing):
        try:
            os.mkdir(one, 0o700)
        except FileExistsError:
            continue
        _sync_dir(os.path.dirname(one))


def _sync_dir(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
