"""What an object store must offer, whichever it is. Owns the interface and its plain values; must never know S3's
wire format, a folder, or why somebody writes an object."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Slice:
    """``length`` bytes of the file at ``path``, from ``offset``. ``sha256``, in hex, is theirs where it is known: bytes
    that are others by now are not sent."""

    path: str
    offset: int
    length: int
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Body:
    """The bytes of an upload: slices of files, in order. It can be read again for every retry, and is never whole in
    memory. The files must not change until the upload is over."""

    slices: tuple[Slice, ...]

    @property
    def length(self) -> int:
        """In bytes."""
        return sum(part.length for part in self.slices)


@dataclass(frozen=True, slots=True)
class Present:
    """An object as HEAD shows it. ``metadata`` has lower-case names without any ``x-amz-meta-``; ``etag`` is opaque
    and goes back to the same store as it came."""

    etag: str
    size: int
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listed:
    """An object as a list shows it; ``modified_ns`` is when the store last wrote it, in nanoseconds since 1970, or 0
    where it does not tell."""

    key: str
    size: int
    etag: str
    modified_ns: int


@dataclass(frozen=True, slots=True)
class Absent:
    """The condition «there is no object of this key» (``If-None-Match: *``)."""


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The condition «the object is still the one with this ETag» (``If-Match``)."""

    etag: str


Condition = Absent | Unchanged | None


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a store was seen to honour. Probed, never guessed from a name; each by itself."""

    put_if_absent: bool
    put_if_match: bool
    complete_if_match: bool
    complete_if_absent: bool
    part_copy: bool
    copy_if_match: bool
    checksum: str | None
    """The integrity header uploads carry: ``sha256``, ``crc32c``, ``md5``, or ``None`` where none is taken."""
    checksum_verified: bool
    """Whether the store refused a body that did not fit its checksum."""
    part_checksum: str | None = "md5"
    """The integrity header of each part of a multipart upload: the same words."""
    metadata_longest: int | None = None
    """The most characters of one value of an object's metadata, where the store did not take a long one."""
    put_whole: bool = True
    """Whether nothing is there of an object whose body broke off on its way. Where something is, it would damage what
    was there before, so objects are sent in parts, which are put together when all have come."""
    append_min: int = 5 * 1024 * 1024
    """Smallest object, in bytes, whose bytes the store can take as the first part of a server-side append."""

    @property
    def append_guarded(self) -> bool:
        """Whether an object can grow on the store's side with nothing lost to another writer."""
        return self.part_copy and self.complete_if_match


class ObjectStore(Protocol):
    """One bucket (or folder). Every method raises ``lf6gateway.values.failure.StoreError`` and nothing else for what
    the store or the network did; each request has a deadline of its own. Cancelling the Deferred that runs one
    gives it up; whether it took effect is then unknown."""

    async def capabilities(self) -> Capabilities:
        """What the store honours: probed at the first call, remembered after a probe that succeeded."""

    async def head(self, key: str) -> Present | None:
        """The object of a key, or ``None`` where there is none."""

    def get(
        self, key: str, *, if_match: str | None = None, start: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        """The bytes of an object, in chunks of at most 1 MiB, with back-pressure; ``CONFLICT`` if it is another one.

        From byte ``start`` on, and at most ``length`` of them; behind the object's end there is nothing."""

    async def put(
        self,
        key: str,
        body: Body,
        *,
        metadata: Mapping[str, str],
        content_type: str,
        condition: Condition = None,
    ) -> Present:
        """Store a whole object, in several parts where it is large; ``CONFLICT`` if the condition does not hold.

        A condition that the store does not honour is checked by HEAD just before the write."""

    async def append(
        self,
        key: str,
        present: Present,
        tail: Body,
        *,
        metadata: Mapping[str, str],
        content_type: str,
    ) -> Present:
        """Replace ``present`` by itself and ``tail`` behind it, moved on the store's side; ``CONFLICT`` if it is no
        longer the one there. Only where ``capabilities().part_copy`` and ``present.size >= append_min``."""

    async def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""

    async def list_keys(self, prefix: str) -> Sequence[str]:
        """All keys that begin with ``prefix``, sorted (for ``check``, tests and tools; the daemon needs none)."""

    def listed(self, prefix: str, *, after: str = "") -> AsyncIterator[Sequence[Listed]]:
        """The objects whose keys begin with ``prefix``, a page at a time, in the store's order, which is that of the
        keys' bytes with every store known.

        :param after: only keys behind this one; a store may give earlier ones too."""

    async def folders(self, prefix: str) -> Sequence[str]:
        """What stands between ``prefix``, which is empty or ends in a slash, and the next slash of the keys that begin
        with it: each once, sorted."""

    async def abort_uploads(self, key: str, *, before_ns: int) -> int:
        """Give up multipart uploads of ``key`` that were begun before a moment (ns since 1970); how many there were."""

    async def close(self) -> None:
        """Let go of connections and threads."""


@runtime_checkable
class Links(Protocol):
    """A store whose objects can be fetched by a link."""

    async def link(self, key: str, seconds: int) -> str:
        """A URL that gives one object to whoever has it, for so many seconds.

        :raises StoreError: none can be made.
        """
