"""Finding out what an S3 store honours, by trying each thing by itself on an object of no value. Owns that sequence;
must never conclude anything from a store's name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from lf6gateway.stores.producer import Digests, digests_of
from lf6gateway.stores.store import Absent, Capabilities, Condition, Unchanged
from lf6gateway.values.failure import Kind, StoreError

if TYPE_CHECKING:
    from lf6gateway.stores.s3 import S3Store

_log = Logger()

_NO: Final = (Kind.UNSUPPORTED, Kind.REFUSED)
"""Answers that say «this is not to be had here», not «not now»."""
_WRONG_ETAG: Final = '"00000000000000000000000000000000"'
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

    async def run(self) -> Capabilities:
        await self._put({})
        try:
            checksum, verified = await self._checksum()
            put_if_absent = await self._refuses(lambda: self._put({"If-None-Match": "*"}))
            put_if_match = await self._refuses(lambda: self._put({"If-Match": _WRONG_ETAG})) and await self._takes(
                lambda: self._put_matching()
            )
            part_copy = await self._takes(lambda: self._parts(copied=True))
            copy_if_match = part_copy and await self._refuses(lambda: self._parts(copied=True, copy_etag=_WRONG_ETAG))
            complete_if_match = await self._refuses(
                lambda: self._parts(condition=Unchanged(_WRONG_ETAG))
            ) and await self._takes(lambda: self._complete_matching())
            complete_if_absent = await self._refuses(lambda: self._parts(condition=Absent()))
        finally:
            await self._removed()
        found = Capabilities(
            put_if_absent=put_if_absent,
            put_if_match=put_if_match,
            complete_if_match=complete_if_match,
            complete_if_absent=complete_if_absent,
            part_copy=part_copy,
            copy_if_match=copy_if_match,
            checksum=checksum,
            checksum_verified=verified,
        )
        _log.info("the store was tried: {found}", found=str(found))
        return found

    async def _put(self, extra: dict[str, str]) -> int:
        headers = {"Content-Type": "text/plain", **extra}
        return (await self._store.put_once(self._key, _CONTENT, headers, self._digests.sha256)).size

    async def _put_matching(self) -> object:
        present = await self._store.head(self._key)
        return await self._put({"If-Match": "" if present is None else present.etag})

    async def _complete_matching(self) -> object:
        present = await self._store.head(self._key)
        return await self._parts(condition=Unchanged("" if present is None else present.etag))

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
                etag = await store.put_part(key, upload, 1, _CONTENT, self._digests)
            return await store.complete(key, upload, [etag], condition, len(_CONTENT))
        except (StoreError, CancelledError):
            await store.abort(key, upload)
            raise

    async def _checksum(self) -> tuple[str | None, bool]:
        """The first integrity header whose wrong value is refused; else the first that is taken."""
        from lf6gateway.stores.s3 import checksum_headers

        wrong = Digests("0" * 64, bytes(32), bytes(16), bytes(4))
        taken = None
        for kind in ("sha256", "crc32c", "md5"):
            if not await self._takes(lambda kind=kind: self._put(checksum_headers(kind, self._digests))):  # type: ignore[misc]
                continue
            if await self._refuses(lambda kind=kind: self._put(checksum_headers(kind, wrong)), any_4xx=True):  # type: ignore[misc]
                return kind, True
            taken = taken or kind
        return taken, False

    async def _takes(self, attempt: Callable[[], Awaitable[object]]) -> bool:
        try:
            await attempt()
        except StoreError as error:
            if error.kind in (*_NO, Kind.CONFLICT, Kind.GONE, Kind.DAMAGED):
                return False
            raise
        return True

    async def _refuses(self, attempt: Callable[[], Awaitable[object]], *, any_4xx: bool = False) -> bool:
        """Whether the store says that the condition does not hold, as it should."""
        try:
            await attempt()
        except StoreError as error:
            if error.kind in (Kind.CONFLICT, Kind.GONE):
                return True
            if error.kind in (*_NO, Kind.DAMAGED):
                return any_4xx and error.kind is not Kind.UNSUPPORTED
            raise
        return False

    async def _removed(self) -> None:
        try:
            await self._store.delete(self._key)
        except StoreError as error:
            _log.warn(
                "{key}: the object on which the store was tried could not be removed: {error}",
                key=self._key,
                error=str(error),
            )
