"""``lf6gateway check``: tries what the daemon will need, before it is needed. Owns the probe object it writes and the
words of its report; must never touch the spool or an object that holds data."""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping

from lf6gateway.stores.store import Body, Capabilities, ObjectStore, Slice
from lf6gateway.values.failure import StoreError

Say = Callable[[str], None]


async def check_stores(stores: Mapping[str, ObjectStore], prefixes: Mapping[str, str], say: Say) -> bool:
    """Write, read and remove a probe object for each stream, and tell what each store honours.

    :param stores: the store of each stream, by the stream's name.
    :param prefixes: the prefix of each stream's keys.
    :param say: takes one line of the report.
    :returns: whether the gateway could work with all of them.
    """
    fine = True
    for name, store in stores.items():
        key = f"{prefixes[name]}_lf6gateway/check.{secrets.token_hex(8)}"
        try:
            await _round_trip(store, key)
            capabilities = await store.capabilities()
        except StoreError as error:
            fine = False
            say(f"FAILED  {name}: {error.what}: {error.detail}")
            if error.remedy:
                say(f"        to mend it: {error.remedy}")
            continue
        say(f"ok      {name}: an object was written, read and removed")
        for line in describe(capabilities):
            say(f"        {line}")
    return fine


async def _round_trip(store: ObjectStore, key: str) -> None:
    content = secrets.token_bytes(64)
    with tempfile.TemporaryDirectory(prefix="lf6gateway-check-") as folder:
        path = os.path.join(folder, "probe")
        with open(path, "wb") as file:
            file.write(content)
        await store.put(
            key, Body((Slice(path, 0, len(content)),)), metadata={"purpose": "check"}, content_type="text/plain"
        )
    try:
        found = await _whole(store.get(key))
    finally:
        await store.delete(key)
    if found != content:
        raise AssertionError(f"{key}: what was read is not what was written")


async def _whole(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


def describe(found: Capabilities) -> list[str]:
    """What a store's abilities mean for the gateway, in a few lines."""
    lines = []
    if found.put_if_absent and found.put_if_match:
        lines.append("conditional writes are honoured: no other writer can be overwritten")
    else:
        lines.append(
            "conditional writes are not all honoured: each write looks first, and two writers of one key in the same "
            "moment can collide; give every gateway its own hostname"
        )
    if found.append_guarded:
        lines.append("objects grow on the store's side: an hour is sent about once")
    else:
        lines.append("objects do not grow safely on the store's side: each interval sends the hour anew")
    lines.append(
        f"uploads carry {found.checksum} checksums" + ("" if found.checksum_verified else ", which it does not verify")
        if found.checksum
        else "no upload checksum is taken"
    )
    return lines
