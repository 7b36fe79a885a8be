"""What can be known of an object without reading it whole: its metadata, and the gzip headers of its members, each of
which tells how many records it has and where the next one begins. Owns these small reads; must never unpack what is in
one."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Final

from attrs import frozen

from lf6gateway.disk.offload import Offload
from lf6gateway.services.patient import PatientStore
from lf6gateway.values.delivered import Delivered
from lf6gateway.values.failure import Kind, StoreError
from lf6gateway.values.member import HEADER_BYTES, Member, parse_header
from lf6gateway.values.stream import Stream
from lf6gateway.values.walk import Strange, Walker

_SMALL: Final = 1 << 20
"""Bytes up to which an object is read whole: a request costs as much as that."""
_TRIES: Final = 4
_WORTH: Final = 256 << 10
"""Bytes of a member on average from which on headers are read one by one."""


@frozen
class Inside:
    """What is known of an object.

    :param records: how many; ``None`` where its headers do not tell all of them.
    :param members: how many gzip members it has; ``None`` likewise.
    """

    records: int | None
    members: int | None
    metadata: Mapping[str, str]


async def look_inside(found: Delivered, store: PatientStore, offload: Offload) -> Inside:
    """What is known of an object without reading it.

    :raises StoreError: the store failed.
    """
    present = await store.head(found.key)
    metadata = {} if present is None else present.metadata
    if present is None or found.stream is Stream.SPECIMEN:
        return Inside(None, None, metadata)
    members = await member_headers(found.key, present.size, store, offload)
    if members is None:
        return Inside(None, None, metadata)
    return Inside(sum(member.records for member in members), len(members), metadata)


async def member_headers(key: str, size: int, store: PatientStore, offload: Offload) -> list[Member] | None:
    """The members of an object's first ``size`` bytes, in order; ``None`` where some are not of this program's making,
    or it is damaged.

    :raises StoreError: the store failed.
    """
    members: list[Member] = []
    offset = 0
    while offset < size:
        few = len(members) >= _TRIES and offset < _WORTH * len(members)
        if size - offset <= _SMALL or few:
            rest = await _walked(key, offset, size, store, offload)
            return None if rest is None else members + rest
        member = parse_header(await _read(key, offset, HEADER_BYTES, store))
        if member is None:
            return None
        members.append(member)
        offset += member.packed_bytes
    return members if offset == size else None


async def _walked(key: str, offset: int, size: int, store: PatientStore, offload: Offload) -> list[Member] | None:
    walker = Walker()
    try:
        async with aclosing(store.get(key, start=offset, length=size - offset)) as chunks:
            async for chunk in chunks:
                await offload(lambda chunk=chunk: walker.feed(chunk))  # type: ignore[misc]
        walker.end()
    except Strange:
        return None
    return None if walker.foreign else walker.members


async def _read(key: str, offset: int, length: int, store: PatientStore) -> bytes:
    async with aclosing(store.get(key, start=offset, length=length)) as chunks:
        data = b"".join([chunk async for chunk in chunks])
    if len(data) != length:
        raise StoreError(Kind.CONFLICT, f"read {key}", "it is shorter than it was", applied=False)
    return data
