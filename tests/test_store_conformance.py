"""What every object store has to do, tried on each: in memory, in a folder, and S3 by a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor, threads
from twisted.internet.defer import Deferred
from twisted.web.client import Agent, HTTPConnectionPool

from lf6gateway.stores.credentials import CredentialSource
from lf6gateway.stores.directory import DirectoryStore
from lf6gateway.stores.http import S3Http, bucket_at
from lf6gateway.stores.memory import MemoryStore
from lf6gateway.stores.s3 import S3Store
from lf6gateway.stores.signing import Keys
from lf6gateway.stores.store import Absent, Body, ObjectStore, Slice, Unchanged
from lf6gateway.values.failure import Kind, StoreError
from tests.blackbox.gateway import S3Server

MIB = 1024 * 1024
TYPE = "application/gzip"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    made = S3Server(tmp_path_factory.mktemp("s3"), "insights")
    yield made
    made.stop()


def off(work: Callable[[], Any], /) -> Deferred[Any]:
    return threads.deferToThread(work)


def s3_store(port: int, pool: HTTPConnectionPool, bucket: str = "insights", timeout_s: float = 20.0) -> S3Store:
    http = S3Http(
        agent=Agent(reactor, pool=pool),
        bucket=bucket_at(bucket, "us-east-1", f"http://127.0.0.1:{port}"),
        credentials=CredentialSource(static=Keys("AK", "SK"), profile=None, offload=off, seconds=lambda: 0.0),
        offload=off,
        clock=reactor,
        timeout_s=timeout_s,
    )
    return S3Store(http, offload=off, part_bytes=5 * MIB, probe_key="_lf6gateway/probe.test")


Test = Callable[..., Coroutine[Any, Any, None]]


def on_each(test: Callable[[ObjectStore, Path], Awaitable[None]]) -> Callable[..., Any]:
    """Run a test on every store."""

    @pytest.mark.parametrize("kind", ["memory", "directory", "s3"])
    @pytest_twisted.ensureDeferred
    @wraps(test)
    async def run(kind: str, tmp_path: Path, server: S3Server) -> None:
        pool = HTTPConnectionPool(reactor)
        stores: dict[str, ObjectStore] = {
            "memory": MemoryStore(),
            "directory": DirectoryStore(str(tmp_path / "objects"), offload=off),
            "s3": s3_store(server.port, pool),
        }
        try:
            await test(stores[kind], tmp_path)
        finally:
            await pool.closeCachedConnections()

    del run.__wrapped__  # type: ignore[attr-defined]
    return run


def body(folder: Path, *parts: bytes) -> Body:
    slices = []
    for part in parts:
        path = folder / f"part-{len(list(folder.glob('part-*')))}"
        path.write_bytes(b"before" + part + b"behind")
        slices.append(Slice(str(path), 6, len(part)))
    return Body(tuple(slices))


async def whole(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def refused(work: Awaitable[object]) -> Kind:
    try:
        await work
    except StoreError as error:
        return error.kind
    raise AssertionError("it was not refused")


@on_each
async def test_an_object_is_what_was_put(store: ObjectStore, folder: Path) -> None:
    key = "usage/2026/01/02/03/ä b+c%20~.jsonl.gz"
    assert await store.head(key) is None
    put = await store.put(key, body(folder, b"one", b"", b"two"), metadata={"uri": "a b"}, content_type=TYPE)
    found = await store.head(key)
    assert found is not None
    assert (found.etag, found.size, dict(found.metadata)) == (put.etag, 6, {"uri": "a b"})
    assert await whole(store.get(key)) == b"onetwo"
    assert await whole(store.get(key, if_match=found.etag)) == b"onetwo"
    assert key in await store.list_keys("usage/2026/")
    await store.delete(key)
    await store.delete(key)
    assert await store.head(key) is None
    assert await refused(whole(store.get(key))) is Kind.GONE


@on_each
async def test_conditions_hold(store: ObjectStore, folder: Path) -> None:
    key = "conditions/object"
    first = await store.put(key, body(folder, b"1"), metadata={}, content_type=TYPE, condition=Absent())
    again = store.put(key, body(folder, b"2"), metadata={}, content_type=TYPE, condition=Absent())
    assert await refused(again) is Kind.CONFLICT
    second = await store.put(key, body(folder, b"3"), metadata={}, content_type=TYPE, condition=Unchanged(first.etag))
    late = store.put(key, body(folder, b"4"), metadata={}, content_type=TYPE, condition=Unchanged(first.etag))
    assert await refused(late) is Kind.CONFLICT
    assert second.etag != first.etag
    assert await whole(store.get(key)) == b"3"
    assert await refused(whole(store.get(key, if_match=first.etag))) is Kind.CONFLICT


@on_each
async def test_an_object_grows_on_the_stores_side(store: ObjectStore, folder: Path) -> None:
    key = "growing/object"
    base = b"x" * (5 * MIB)
    present = await store.put(key, body(folder, base), metadata={"n": "1"}, content_type=TYPE)
    tail = [b"a" * 7, b"b" * (6 * MIB), b"c"]
    grown = await store.append(key, present, body(folder, *tail), metadata={"n": "2"}, content_type=TYPE)
    assert grown.size == len(base) + sum(map(len, tail))
    assert await whole(store.get(key)) == base + b"".join(tail)
    found = await store.head(key)
    assert found is not None
    assert found.metadata["n"] == "2"
    late = store.append(key, present, body(folder, b"late"), metadata={}, content_type=TYPE)
    assert await refused(late) in (Kind.CONFLICT, Kind.GONE)
    assert await store.abort_uploads(key, before_ns=1 << 62) == 0


@on_each
async def test_a_large_body_goes_in_parts(store: ObjectStore, folder: Path) -> None:
    key = "large/object"
    data = bytes(range(256)) * (4096 * 21)
    await store.put(key, body(folder, data[:100], data[100:]), metadata={}, content_type=TYPE, condition=Absent())
    assert await whole(store.get(key)) == data


@on_each
async def test_a_body_shorter_than_it_says_is_no_object(store: ObjectStore, folder: Path) -> None:
    short = Body((Slice(body(folder, b"some").slices[0].path, 0, 10_000),))
    assert await refused(store.put("short", short, metadata={}, content_type=TYPE)) is Kind.DAMAGED
    assert await store.head("short") is None


@pytest_twisted.ensureDeferred
async def test_what_moto_honours_is_found_out(server: S3Server) -> None:
    pool = HTTPConnectionPool(reactor)
    found = await s3_store(server.port, pool).capabilities()
    await pool.closeCachedConnections()
    assert found.put_if_absent
    assert found.put_if_match
    assert found.part_copy
    assert not found.complete_if_match
    assert not found.append_guarded
    assert not [key for key in server.objects("insights") if "probe" in key]


@pytest_twisted.ensureDeferred
async def test_a_missing_bucket_and_a_missing_server_are_told_apart(server: S3Server, tmp_path: Path) -> None:
    pool = HTTPConnectionPool(reactor)
    missing = s3_store(server.port, pool, "no-such-bucket")
    with pytest.raises(StoreError, match="create bucket no-such-bucket") as told:
        await missing.put("a", body(tmp_path, b"1"), metadata={}, content_type=TYPE)
    assert told.value.kind is Kind.NO_BUCKET
    with pytest.raises(StoreError) as told:
        await s3_store(1, pool).head("a")
    await pool.closeCachedConnections()
    assert told.value.kind is Kind.TRANSIENT
    assert told.value.applied is False


@pytest_twisted.ensureDeferred
async def test_a_key_cannot_leave_the_folder(tmp_path: Path) -> None:
    store = DirectoryStore(str(tmp_path / "objects"), offload=off)
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects" / "link").symlink_to(tmp_path)
    for key in ("../x", "a/../../x", "/x", "a//b", "link/x", ".meta/x", "a\0b"):
        assert await refused(store.put(key, body(tmp_path, b"1"), metadata={}, content_type=TYPE)) is Kind.REFUSED
    assert not (tmp_path / "x").exists()
    long = "a" * 900 + ".png"
    await store.put(long, body(tmp_path, b"1"), metadata={}, content_type=TYPE)
    assert await whole(store.get(long)) == b"1"
