"""An object store in memory: a model of S3 for tests, of this project and of those who embed it. Owns its objects,
which end with it; must never be a place for data that matter.

Each ability can be switched off, as stores differ; and each request can be made to fail before it takes effect, or
after, which is how an answer gets lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final

from lf6gateway.stores.comparison import must_be
from lf6gateway.stores.store import Absent, Body, Capabilities, Condition, Listed, Present, Unchanged
from lf6gateway.values.failure import Kind, StoreError

_CHUNK: Final = 1 << 20
_PAGE: Final = 1000

ABLE: Final = Capabilities(
    put_if_absent=True,
    put_if_match=True,
    complete_if_match=True,
    complete_if_absent=True,
    part_copy=True,
    copy_if_match=True,
    checksum="sha256",
    checksum_verified=True,
)
"""A store that honours everything."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One object."""

    data: bytes
    metadata: Mapping[str, str]
    content_type: str
    etag: str


class MemoryStore:
    """See the module.

    :param capabilities: what it honours; a condition it does not honour is ignored, as such stores do.
    """

    def __init__(self, capabilities: Capabilities = ABLE) -> None:
        self.objects: dict[str, Stored] = {}
        self.requests: list[tuple[str, str]] = []
        self.before: Callable[[str, str], Awaitable[None] | None] | None = None
        """Called with a request's name and key before it takes effect; what it raises is the answer."""
        self.after: Callable[[str, str], Awaitable[None] | None] | None = None
        """The same, when it has taken effect."""
        self._capabilities = capabilities
        self._writes = 0

    async def capabilities(self) -> Capabilities:
        """As given."""
        return self._capabilities

    async def head(self, key: str) -> Present | None:
        """See ``ObjectStore``."""
        self.requests.append(("head", key))
        await self._hook(self.before, "head", key)
        found = self.objects.get(key)
        await self._hook(self.after, "head", key)
        return None if found is None else Present(found.etag, len(found.data), dict(found.metadata))

    async def get(
        self, key: str, *, if_match: str | None = None, start: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        """See ``ObjectStore``."""
        self.requests.append(("get", key))
        await self._hook(self.before, "get", key)
        found = self.objects.get(key)
        if found is None:
            raise StoreError(Kind.GONE, f"get {key}", "there is no such object", applied=False)
        if if_match is not None and found.etag != if_match:
            raise StoreError(Kind.CONFLICT, f"get {key}", "it is another object now", applied=False)
        data = found.data[start : None if length is None else start + length]
        for place in range(0, len(data), _CHUNK):
            yield data[place : place + _CHUNK]

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
        self.requests.append(("put", key))
        await self._hook(self.before, "put", key)
        data = _bytes(body)
        honoured = {Absent: self._capabilities.put_if_absent, Unchanged: self._capabilities.put_if_match}
        self._check(key, condition, honoured.get(type(condition), True))
        return await self._store("put", key, data, metadata, content_type)

    async def append(
        self, key: str, present: Present, tail: Body, *, metadata: Mapping[str, str], content_type: str
    ) -> Present:
        """See ``ObjectStore``."""
        self.requests.append(("append", key))
        await self._hook(self.before, "append", key)
        if not self._capabilities.part_copy:
            raise StoreError(Kind.UNSUPPORTED, f"append to {key}", "not implemented", applied=False)
        if present.size < self._capabilities.append_min:
            raise StoreError(Kind.REFUSED, f"append to {key}", "EntityTooSmall", applied=False)
        found = self.objects.get(key)
        if found is None:
            raise StoreError(Kind.GONE, f"append to {key}", "there is no such object", applied=False)
        self._check(key, Unchanged(present.etag), self._capabilities.complete_if_match)
        return await self._store("append", key, found.data + _bytes(tail), metadata, content_type)

    async def delete(self, key: str) -> None:
        """See ``ObjectStore``."""
        self.requests.append(("delete", key))
        await self._hook(self.before, "delete", key)
        self.objects.pop(key, None)
        await self._hook(self.after, "delete", key)

    async def list_keys(self, prefix: str) -> Sequence[str]:
        """See ``ObjectStore``."""
        return sorted(key for key in self.objects if key.startswith(prefix))

    async def listed(self, prefix: str, *, after: str = "") -> AsyncIterator[Sequence[Listed]]:
        """See ``ObjectStore``."""
        self.requests.append(("list", prefix))
        await self._hook(self.before, "list", prefix)
        keys = sorted(key for key in self.objects if key.startswith(prefix) and key > after)
        for start in range(0, len(keys), _PAGE):
            page = [(key, self.objects[key]) for key in keys[start : start + _PAGE]]
            yield [Listed(key, len(stored.data), stored.etag, 0) for key, stored in page]

    async def folders(self, prefix: str) -> Sequence[str]:
        """See ``ObjectStore``."""
        self.requests.append(("folders", prefix))
        await self._hook(self.before, "folders", prefix)
        behind = [key.removeprefix(prefix) for key in self.objects if key.startswith(prefix)]
        return sorted({rest.partition("/")[0] for rest in behind if "/" in rest})

    async def abort_uploads(self, key: str, *, before_ns: int) -> int:
        """See ``ObjectStore``; nothing is ever unfinished here."""
        self.requests.append(("abort_uploads", key))
        await self._hook(self.before, "abort_uploads", key)
        return 0

    async def close(self) -> None:
        """See ``ObjectStore``."""

    def without(self, **abilities: bool) -> None:
        """Switch abilities on or off."""
        self._capabilities = replace(self._capabilities, **abilities)  # type: ignore[arg-type]

    def _check(self, key: str, condition: Condition, honoured: bool) -> None:
        if condition is None or not honoured:
            return
        found = self.objects.get(key)
        if isinstance(condition, Absent):
            if found is not None:
                raise StoreError(Kind.CONFLICT, f"put {key}", "it is there already", applied=False)
        elif found is None:
            raise StoreError(Kind.GONE, f"put {key}", "there is no such object", applied=False)
        elif found.etag != condition.etag:
            raise StoreError(Kind.CONFLICT, f"put {key}", "it is another object now", applied=False)

    async def _store(
        self, request: str, key: str, data: bytes, metadata: Mapping[str, str], content_type: str
    ) -> Present:
        self._writes += 1
        stored = Stored(data, dict(metadata), content_type, f'"{self._writes:08x}"')
        self.objects[key] = stored
        await self._hook(self.after, request, key)
        return Present(stored.etag, len(data), dict(metadata))

    async def _hook(self, hook: Callable[[str, str], Awaitable[None] | None] | None, request: str, key: str) -> None:
        if hook is not None:
            waited = hook(request, key)
            if waited is not None:
                await waited


def _bytes(body: Body) -> bytes:
    parts = []
    for part in body.slices:
        with open(part.path, "rb") as file:
            file.seek(part.offset)
            data = file.read(part.length)
        if len(data) != part.length:
            raise StoreError(Kind.DAMAGED, f"read {part.path}", "the file is shorter than it was", applied=False)
        must_be(part, sha256(data).hexdigest())
        parts.append(data)
    return b"".join(parts)
