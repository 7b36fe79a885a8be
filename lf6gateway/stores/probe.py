"""Finding out what an S3 store honours, by trying each thing by itself on an object of no value. Owns that sequence;
must never conclude anything from a store's name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from lf6gateway.stores.checksums import checksum_headers
from lf6gateway.stores.metadata import PREFIX
from lf6gateway.stores.producer import Digests, digests_of
from lf6gateway.stores.store import Absent, Body, Capabilities, Condition, Slice, Unchanged
from lf6gateway.values.failure import Kind, StoreError

if TYPE_CHECKING:
    from lf6gateway.stores.s3 import S3Store

_log = Logger()

_NO: Final = (Kind.UNSUPPORTED, Kind.REFUSED)
"""Answers that say «this is not to be had here», not «not now»."""
_WRONG_ETAG: Final = '"00000000000000000000000000000000"'
_WRONG: Final = Digests("0" * 64, bytes(32), bytes(16), bytes(4))
_LONG_VALUE: Final = 1500
_SHORT_VALUE: Final = 250
_BROKEN_OFF: Final = 2 * 1024 * 1024
_CONTENT: Final = b"lf6gateway tries here what this store honours; this object can be removed at any time.\n"


async def probe(store: S3Store, key: str) -> Capabilities:
    """Try everything on the object ``key``, and remove it.

    :raises StoreError: the store cannot be reached, or refuses plain writes.
    """
    return await _Probe(store, key).run()


class _Probe:
    def __init__(self, store: S3Store, key: str) -> None:
        self._store = store
        self._key = key
        self._digests = digests_of(_CONTENT)
        self._integrity: dict[str, str] = {}
        self._part_integrity: dict[str, str] = {}
        self._told = False
        self._cut_key = f"{key}.cut"

    async def run(self) -> Capabilities:
        checksum, verified = await self._checksum()
        self._integrity = checksum_headers(checksum, self._digests)
        try:
            await self._broken_off()
            metadata_longest = await self._metadata_longest()
            put_if_absent = await self._refuses(lambda: self._put({"If-None-Match": "*"}))
            put_if_match = await self._honours(
                lambda: self._put({"If-Match": _WRONG_ETAG}), lambda etag: self._put({"If-Match": etag})
            )
            part_checksum = await self._part_checksum()
            self._part_integrity = checksum_headers(part_checksum, self._digests)
            part_copy = await self._takes(lambda: self._parts(copied=True))
            copy_if_match = part_copy and await self._honours(
                lambda: self._parts(copied=True, copy_etag=_WRONG_ETAG),
                lambda etag: self._parts(copied=True, copy_etag=etag),
            )
            complete_if_match = await self._honours(
                lambda: self._parts(condition=Unchanged(_WRONG_ETAG)),
                lambda etag: self._parts(condition=Unchanged(etag)),
            )
            complete_if_absent = await self._refuses(lambda: self._parts(condition=Absent()))
            put_whole = await self._store.head(self._cut_key) is None
        finally:
            await self._removed(self._key)
        if not put_whole:
            await self._removed(self._cut_key)
            _log.warn(
                "{key}: the store keeps what came of a body that broke off, so objects go there in parts",
                key=self._cut_key,
            )
        found = Capabilities(
            put_if_absent=put_if_absent,
            put_if_match=put_if_match,
            complete_if_match=complete_if_match,
            complete_if_absent=complete_if_absent,
            part_copy=part_copy,
            copy_if_match=copy_if_match,
            checksum=checksum,
            checksum_verified=verified,
            part_checksum=part_checksum,
            metadata_longest=metadata_longest,
            put_whole=put_whole,
        )
        _log.info("the store was tried: {found}", found=str(found))
        return found

    async def _put(self, extra: dict[str, str]) -> int:
        headers = {"Content-Type": "text/plain", **self._integrity, **extra}
        return (await self._store.put_once(self._key, _CONTENT, headers, self._digests.sha256)).size

    async def _honours(self, wrong: Callable[[], Awaitable[object]], right: Callable[[str], Awaitable[object]]) -> bool:
        """Whether a condition that does not hold is refused, and one that holds is not: a store that compares ETags in
        a way of its own would refuse them all, for ever."""
        if not await self._refuses(wrong):
            return False
        present = await self._store.head(self._key)
        return present is not None and await self._takes(lambda: right(present.etag))

    async def _parts(
        self, *, copied: bool = False, copy_etag: str | None = None, condition: Condition = None
    ) -> object:
        """One multipart upload of one part."""
        store, key = self._store, self._key
        upload = await store.begin(key, {"Content-Type": "text/plain"})
        try:
            if copied:
                etag = await store.part_copy(key, upload, 1, copy_etag, None)
            else:
                etag = await store.put_part(key, upload, 1, _CONTENT, self._digests.sha256, self._part_integrity)
            return await store.complete(key, upload, [etag], condition, len(_CONTENT))
        except (StoreError, CancelledError):
            await self._aborted(upload)
            raise

    async def _one_part(self, headers: dict[str, str]) -> object:
        """One part that is never put together."""
        upload = await self._store.begin(self._key, {"Content-Type": "text/plain"})
        try:
            return await self._store.put_part(self._key, upload, 1, _CONTENT, self._digests.sha256, headers)
        finally:
            await self._aborted(upload)

    async def _aborted(self, upload: str) -> None:
        try:
            await self._store.abort(self._key, upload)
        except StoreError as error:
            if not self._told:
                _log.warn("{key}: uploads of the trial could not be aborted: {error}", key=self._key, error=str(error))
            self._told = True

    async def _checksum(self) -> tuple[str | None, bool]:
        """The first integrity header whose wrong value is refused; else the first that is taken. Leaves an object.

        Nothing is written without one before all were refused: a bucket with Object Lock takes no such write."""
        return await self._first(lambda headers: self._put(headers), plain=True)

    async def _part_checksum(self) -> str | None:
        """The same for parts. ``Content-MD5`` comes first, for S3 wants the others announced when an upload begins."""
        return (await self._first(self._one_part, ("md5", "sha256", "crc32c")))[0]

    async def _metadata_longest(self) -> int | None:
        """``None`` too where not even a short value is taken: then the store must say so of the objects that matter."""
        for length in (_LONG_VALUE, _SHORT_VALUE):
            if await self._takes(lambda length=length: self._put({f"{PREFIX}trial": "v" * length})):  # type: ignore[misc]
                return None if length == _LONG_VALUE else length
        return None

    async def _first(
        self,
        attempt: Callable[[dict[str, str]], Awaitable[object]],
        kinds: tuple[str, ...] = ("sha256", "crc32c", "md5"),
        *,
        plain: bool = False,
    ) -> tuple[str | None, bool]:
        taken = None
        for kind in kinds:
            right, wrong = checksum_headers(kind, self._digests), checksum_headers(kind, _WRONG)
            if not await self._takes(lambda right=right: attempt(right)):  # type: ignore[misc]
                continue
            if await self._refuses(lambda wrong=wrong: attempt(wrong), damage=True):  # type: ignore[misc]
                return kind, True
            taken = taken or kind
        if plain and taken is None:
            await attempt({})
        return taken, False

    async def _takes(self, attempt: Callable[[], Awaitable[object]]) -> bool:
        try:
            await attempt()
        except StoreError as error:
            if error.kind in (*_NO, Kind.CONFLICT, Kind.GONE, Kind.DAMAGED):
                return False
            raise
        return True

    async def _refuses(self, attempt: Callable[[], Awaitable[object]], *, damage: bool = False) -> bool:
        """Whether the store says that the condition does not hold, as it should.

        :param damage: the checksum, rather.
        """
        try:
            await attempt()
        except StoreError as error:
            if error.kind in ((Kind.DAMAGED, Kind.REFUSED) if damage else (Kind.CONFLICT,)):
                return True
            if error.kind in (*_NO, Kind.CONFLICT, Kind.GONE, Kind.DAMAGED):
                return False
            raise
        return False

    async def _broken_off(self) -> None:
        """Begin an object and break off. What comes of it is looked at last, when the store has had time to notice."""
        body = Body((Slice("/dev/zero", 0, _BROKEN_OFF), Slice("/dev/zero/missing", 0, 1)))
        headers = {"Content-Type": "text/plain", **self._integrity}
        try:
            await self._store.put_once(self._cut_key, body, headers, _WRONG.sha256)
        except (StoreError, OSError) as error:
            _log.debug("{key}: the body broke off, as it should: {error}", key=self._cut_key, error=str(error))

    async def _removed(self, key: str) -> None:
        try:
            await self._store.delete(key)
        except StoreError as error:
            _log.warn(
                "{key}: the object on which the store was tried could not be removed: {error}",
                key=key,
                error=str(error),
            )
