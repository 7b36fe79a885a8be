"""One specimen to one object. Owns the choice among its possible keys and the answer to «is that one ours?»; must never
overwrite an object, nor decide when to try again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from twisted.logger import Logger

from lf6gateway.disk.specimen_file import Specimen
from lf6gateway.stores.store import Absent, Body, ObjectStore, Present, Slice
from lf6gateway.values.failure import Kind, StoreError
from lf6gateway.values.specimen_key import content_type_of, specimen_key, specimen_metadata

_log = Logger()

MOST_LOOKS: Final = 16
"""How often one attempt looks at what is in its way before it is put off."""
PARTS_FROM: Final = 5 * 1024 * 1024
"""Specimens from this size on, in bytes, may have been sent in parts, which a killed process leaves behind."""


@dataclass(frozen=True, slots=True)
class Names:
    """What a specimen's object is called (``values/specimen_key.py``, bound to the configuration).

    :param key: by specimen and number of the attempt; 0 is the one it should have, further ones are for when another
        object has it.
    :param metadata: holds the specimen's id as ``specimen-id``.
    """

    key: Callable[[Specimen, int], str]
    metadata: Callable[[Specimen], Mapping[str, str]]
    content_type: Callable[[Specimen], str]

    @classmethod
    def under(cls, prefix: str) -> Names:
        """The names of the contract, under a prefix that is empty or ends in a slash."""
        return cls(
            key=lambda specimen, number: specimen_key(
                prefix, specimen.head.user, specimen.head.uri, specimen.head.received_ns, number
            ),
            metadata=lambda specimen: specimen_metadata(
                uri=specimen.head.uri, user=specimen.head.user, identity=specimen.head.id, sha256=specimen.sha256
            ),
            content_type=lambda specimen: content_type_of(specimen.head.content_type, specimen.head.uri),
        )


@dataclass(frozen=True, slots=True)
class Sent:
    """It is in the store under ``key``; ``found``: it was there already, from an attempt whose answer was lost."""

    key: str
    found: bool


async def send(
    store: ObjectStore, specimen: Specimen, names: Names, *, look_first: bool, abort_before_ns: int | None
) -> Sent:
    """Store a specimen unless it is there already.

    :param look_first: an earlier attempt may have taken effect: ask before the bytes go over the line again.
    :param abort_before_ns: give up parts that were sent before that moment (ns since 1970) and never put together.
    :raises StoreError: it is not known to be in the store.
    """
    metadata = names.metadata(specimen)
    content_type = names.content_type(specimen)
    body = Body((Slice(specimen.path, specimen.offset, specimen.length, specimen.sha256),))
    number = 0
    for _ in range(MOST_LOOKS):
        key = names.key(specimen, number)
        if look_first:
            present = await store.head(key)
            if present is not None:
                if _ours(present, specimen):
                    return Sent(key, True)
                _log.warn("{key} is another object; specimen {id} gets the next name", key=key, id=specimen.head.id)
                number += 1
                continue
        if abort_before_ns is not None:
            await _abort(store, key, abort_before_ns)
        try:
            await store.put(key, body, metadata=metadata, content_type=content_type, condition=Absent())
        except StoreError as error:
            if error.kind is not Kind.CONFLICT:
                raise
            look_first = True  # it may be ours
        else:
            return Sent(key, False)
    raise StoreError(
        Kind.CONFLICT,
        f"put {key}",
        f"after {MOST_LOOKS} looks another write was still in its way; {number} of its names belong to other objects",
    )


def _ours(present: Present, specimen: Specimen) -> bool:
    return present.metadata.get("specimen-id") == specimen.head.id and present.size == specimen.length


async def _abort(store: ObjectStore, key: str, before_ns: int) -> None:
    try:
        count = await store.abort_uploads(key, before_ns=before_ns)
    except StoreError as error:
        if error.kind in (Kind.TRANSIENT, Kind.SLOW_DOWN):
            raise
        # A right to list uploads may be missing; that must not keep the specimen.
        _log.warn(
            "parts of {key} that an earlier process may have left could not be looked for: {error}",
            key=key,
            error=str(error),
        )
    else:
        if count:
            _log.info("{key}: {count} unfinished uploads of an earlier process were given up", key=key, count=count)
