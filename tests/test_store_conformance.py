"""What every object store has to do, tried on each: in memory, in a folder, and S3 by several real servers, which differ in
what they honour. Where one ignores a condition, the store looks first, and the same has to come out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from dataclasses import replace
from functools import wraps
from hashlib import sha256
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
from lf6gateway.stores.store import Absent, Body, Capabilities, ObjectStore, Slice, Unchanged
from lf6gateway.values.failure import Kind, StoreError
from tests.servers.running import NAMES, Server, Unavailable

MIB = 1024 * 1024
TYPE = "application/gzip"


class Servers:
    """The S3 servers, each started when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: dict[str, Server] = {}
        self.honours: dict[str, Capabilities] = {}

    def __getitem__(self, name: str) -> Server:
        if name not in self._started:
            try:
                self._started[name] = Server(name, self._folder / name)
            except Unavailable as reason:
                pytest.skip(str(reason))
        return self._started[name]

    def stop(self) -> None:
        for server in self._started.values():
            server.stop()


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    made = Servers(tmp_path_factory.mktemp("servers"))
    yield made
    made.stop()


def off(work: Callable[[], Any], /) -> Deferred[Any]:
    return threads.deferToThread(work)


def s3_store(
    server: Server, pool: HTTPConnectionPool, *, bucket: str = "insights", secret: str = "", port: int = 0
) -> S3Store:
    http = S3Http(
        agent=Agent(reactor, pool=pool),
        bucket=bucket_at(bucket, "us-east-1", f"http://127.0.0.1:{port or server.port}"),
        credentials=CredentialSource(
            static=Keys(server.access, secret or server.secret), profile=None, offload=off, seconds=lambda: 0.0
        ),
        offload=off,
        clock=reactor,
        timeout_s=20.0,
    )
    return S3Store(http, offload=off, part_bytes=5 * MIB, probe_key="_lf6gateway/probe.test")


async def tried(store: S3Store, servers: Servers, name: str) -> None:
    """Try what a server honours, but once for all tests."""
    if name in servers.honours:
        store._found = servers.honours[name]
    else:
        servers.honours[name] = await store.capabilities()


Test = Callable[..., Coroutine[Any, Any, None]]


def on_each(test: Callable[[ObjectStore, Path], Awaitable[None]]) -> Callable[..., Any]:
    """Run a test on every store."""

    @pytest.mark.parametrize("kind", ["memory", "directory", *NAMES])
    @pytest_twisted.ensureDeferred
    @wraps(test)
    async def run(kind: str, tmp_path: Path, servers: Servers) -> None:
        if kind == "memory":
            await test(MemoryStore(), tmp_path)
        elif kind == "directory":
            await test(DirectoryStore(str(tmp_path / "objects"), offload=off), tmp_path)
        else:
            server = servers[kind]
            pool = HTTPConnectionPool(reactor)
            store = s3_store(server, pool)
            try:
                await tried(store, servers, kind)
                await test(store, tmp_path)
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
    if not (await store.capabilities()).part_copy:
        return  # it is not asked to, then
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


def known(content: Body, *parts: bytes) -> Body:
    """The same, with the digests of what it was once."""
    pairs = zip(content.slices, parts, strict=True)
    return Body(tuple(replace(one, sha256=sha256(part).hexdigest()) for one, part in pairs))


@on_each
async def test_bytes_that_are_no_longer_what_they_were_do_not_go(store: ObjectStore, folder: Path) -> None:
    """Found by the simulation (seed 53587): compared with its digest, a specimen waited, was damaged, and went."""
    key, now, before = "changed/object", [b"one", b"", b"two"], [b"one", b"", b"too"]
    first = await store.put(key, known(body(folder, *now), *now), metadata={}, content_type=TYPE, condition=Absent())
    for damaged in (known(body(folder, *now), *before), known(body(folder, b"1"), b"2")):
        changed = store.put(key, damaged, metadata={}, content_type=TYPE, condition=Unchanged(first.etag))
        assert await refused(changed) is Kind.DAMAGED
    assert await whole(store.get(key)) == b"onetwo"
    large = [b"a" * (3 * MIB), bytes(range(256)) * (4096 * 21)]
    for last in (large[1], large[1][:-1] + b"x"):
        put = store.put("changed/large", known(body(folder, *large), large[0], last), metadata={}, content_type=TYPE)
        if last is large[1]:
            await put
            await store.delete("changed/large")
        else:
            assert await refused(put) is Kind.DAMAGED
    assert await store.head("changed/large") is None
    if (await store.capabilities()).part_copy:  # a server without it lists no uploads either
        assert await store.abort_uploads("changed/large", before_ns=1 << 62) == 0


@on_each
async def test_a_tail_that_is_no_longer_what_it_was_is_not_appended(store: ObjectStore, folder: Path) -> None:
    if not (await store.capabilities()).part_copy:
        return  # it is not asked to, then
    key, base = "changed/growing", b"x" * (5 * MIB)
    present = await store.put(key, body(folder, base), metadata={}, content_type=TYPE)
    changed = store.append(key, present, known(body(folder, b"tail"), b"tale"), metadata={}, content_type=TYPE)
    assert await refused(changed) is Kind.DAMAGED
    grown = await store.append(
        key, present, known(body(folder, b"t", b"l"), b"t", b"l"), metadata={}, content_type=TYPE
    )
    assert grown.size == len(base) + 2


@on_each
async def test_the_first_of_two_writers_wins_and_the_second_is_told(store: ObjectStore, folder: Path) -> None:
    """Twins of one name in turn, each on what it saw."""
    key = "twins/2026010203.host.jsonl.gz"
    seen: list[str] = []
    for number in range(4):
        condition = Unchanged(seen[-1]) if seen else Absent()
        content = body(folder, b"%d" % number * (number + 1))
        put = await store.put(key, content, metadata={"n": str(number)}, content_type=TYPE, condition=condition)
        for stale in (Absent(), *map(Unchanged, seen)):
            late = store.put(key, content, metadata={}, content_type=TYPE, condition=stale)
            assert await refused(late) in (Kind.CONFLICT, Kind.GONE)
        found = await store.head(key)
        assert found is not None
        assert (found.etag, found.metadata["n"]) == (put.etag, str(number))
        seen.append(put.etag)
    assert len(set(seen)) == 4


@on_each
async def test_odd_keys_are_kept_apart(store: ObjectStore, folder: Path) -> None:
    keys = ["odd/a b", "odd/a+b", "odd/a%20b", "odd/ä", "odd/~", "odd/(x)=&'!*", "odd/コード", "odd/a.b..c"]
    for key in keys:
        await store.put(key, body(folder, key.encode()), metadata={}, content_type=TYPE, condition=Absent())
    for key in keys:
        assert await whole(store.get(key)) == key.encode()
    assert sorted(await store.list_keys("odd/")) == sorted(keys)


@on_each
async def test_the_longest_key_and_the_most_metadata_are_taken(store: ObjectStore, folder: Path) -> None:
    """As long as the gateway makes them, in names as long as a file system has them."""
    segments = ["longest", *["n" * 200] * 4, "n" * (1024 - 7 - 4 * 201 - 1)]
    key = "/".join(segments)
    assert len(key) == 1024
    metadata = {"specimen-id": "0" * 32, "sha256": "0" * 64, "user": "%C3%BC" * 40, "uri": "u" * 1000}
    await store.put(key, body(folder, b"1"), metadata=metadata, content_type="image/png", condition=Absent())
    found = await store.head(key)
    assert found is not None
    assert dict(found.metadata) == metadata
    assert await store.list_keys("longest/") == [key]


@on_each
async def test_an_empty_object_is_one(store: ObjectStore, folder: Path) -> None:
    await store.put("empty", body(folder), metadata={}, content_type=TYPE, condition=Absent())
    found = await store.head("empty")
    assert found is not None
    assert found.size == 0
    assert await whole(store.get("empty")) == b""


@on_each
async def test_a_part_of_an_object_is_read_alone(store: ObjectStore, folder: Path) -> None:
    data = bytes(range(256)) * 8192
    await store.put("parts", body(folder, data), metadata={}, content_type=TYPE)
    found = await store.head("parts")
    assert found is not None
    for start, length in ((1, None), (len(data) - 1, None), (5, 3), (0, 10), (len(data) - 2, 100), (7, 0)):
        part = data[start:] if length is None else data[start : start + length]
        assert await whole(store.get("parts", if_match=found.etag, start=start, length=length)) == part
    assert await whole(store.get("parts", start=len(data))) == b""
    assert await refused(whole(store.get("parts", if_match='"another"', start=5))) is Kind.CONFLICT
    assert await refused(whole(store.get("no-parts", start=5))) is Kind.GONE


@on_each
async def test_lists_show_what_is_there_and_go_no_deeper_than_asked(store: ObjectStore, folder: Path) -> None:
    long = "n" * 200
    keys = [
        f"lists/{name}" for name in ("2026/01/a", "2026/01/b", "2026/02/a", "ä b+c%20/x", ".hidden/x", f"u/{long}.1")
    ]
    for number, key in enumerate(keys):
        await store.put(key, body(folder, b"x" * number), metadata={}, content_type=TYPE)
    pages = [page async for page in store.listed("lists/")]
    found = [one for page in pages for one in page]
    assert [one.key for one in found] == sorted(keys, key=str.encode)
    assert {one.key: one.size for one in found} == {key: number for number, key in enumerate(keys)}
    for one in found:
        present = await store.head(one.key)
        assert present is not None
        assert present.etag.strip('"') == one.etag.strip('"')
        assert len(await whole(store.get(one.key))) == one.size
    after = [one.key async for page in store.listed("lists/2026/", after="lists/2026/01/a") for one in page]
    assert after[-2:] == keys[1:3]
    assert [one async for page in store.listed("lists/none/") for one in page] == []
    if not (await store.capabilities()).put_whole:
        return  # s3rver, which leaves folders of folders out of what it shows
    assert await store.folders("lists/") == sorted({"2026", "ä b+c%20", ".hidden", "u"})
    assert await store.folders("lists/2026/") == ["01", "02"]
    assert await store.folders("lists/2026/01/") == await store.folders("lists/none/") == []


def on_each_s3(test: Callable[[S3Store, Server, Path], Awaitable[None]]) -> Callable[..., Any]:
    """Run a test on every S3 server."""

    @pytest.mark.parametrize("name", NAMES)
    @pytest_twisted.ensureDeferred
    @wraps(test)
    async def run(name: str, tmp_path: Path, servers: Servers) -> None:
        server = servers[name]
        pool = HTTPConnectionPool(reactor)
        store = s3_store(server, pool)
        try:
            await tried(store, servers, name)
            await test(store, server, tmp_path)
        finally:
            await pool.closeCachedConnections()

    del run.__wrapped__  # type: ignore[attr-defined]
    return run


@on_each_s3
async def test_a_trial_leaves_nothing(store: S3Store, server: Server, folder: Path) -> None:
    listed = server.client.list_objects_v2(Bucket="insights", Prefix="_lf6gateway/")
    assert listed.get("Contents", []) == []
    assert (await store.capabilities()).checksum is not None


@on_each_s3
async def test_uploads_that_a_crash_left_are_found_and_given_up(store: S3Store, server: Server, folder: Path) -> None:
    key = "left/ä b+c"
    uploads = [await store.begin(key, {"Content-Type": TYPE}) for _ in range(3)]
    other = await store.begin(key + "d", {"Content-Type": TYPE})
    try:
        found = await store.abort_uploads(key, before_ns=1 << 62)
    except StoreError as error:
        # One that does not list uploads; the operator is told, and nothing else stops.
        assert error.kind in (Kind.UNSUPPORTED, Kind.REFUSED, Kind.GONE), error
        await given_up(store, key, uploads)
        await given_up(store, key + "d", [other])
    else:
        assert found == 3
        assert await store.abort_uploads(key, before_ns=1 << 62) == 0
        assert await store.abort_uploads(key + "d", before_ns=1 << 62) == 1


async def given_up(store: S3Store, key: str, uploads: list[str]) -> None:
    for upload in uploads:
        try:
            await store.abort(key, upload)
        except StoreError as error:
            assert error.kind in (Kind.UNSUPPORTED, Kind.REFUSED), error


@on_each_s3
async def test_a_damaged_upload_is_refused_where_the_store_verifies(
    store: S3Store, server: Server, folder: Path
) -> None:
    """The file changes between its digest and its sending."""
    content = body(folder, b"some content")
    damaged = body(folder, b"some c0ntent")
    (piece,), (wrong,) = content.slices, damaged.slices

    def read(path: str, offset: int, length: int) -> bytes:
        return Path(piece.path).read_bytes()[offset : offset + length]

    store._read = read
    honours = await store.capabilities()
    work = store.put("damaged", Body((wrong,)), metadata={}, content_type=TYPE)
    if honours.checksum_verified:
        assert await refused(work) in (Kind.DAMAGED, Kind.DENIED)
        assert await store.head("damaged") is None
    else:
        await work


@on_each_s3
async def test_a_missing_bucket_and_a_missing_server_are_told_apart(
    store: S3Store, server: Server, folder: Path
) -> None:
    pool = HTTPConnectionPool(reactor)
    missing = s3_store(server, pool, bucket="no-such-bucket")
    with pytest.raises(StoreError, match="create bucket no-such-bucket") as told:
        await missing.put("a", body(folder, b"1"), metadata={}, content_type=TYPE)
    assert told.value.kind is Kind.NO_BUCKET
    with pytest.raises(StoreError) as told:
        await s3_store(server, pool, port=1).head("a")
    await pool.closeCachedConnections()
    assert told.value.kind is Kind.TRANSIENT
    assert told.value.applied is False


@on_each_s3
async def test_an_interrupted_upload_leaves_the_object_as_it_was(store: S3Store, server: Server, folder: Path) -> None:
    before = await store.put("whole", body(folder, b"before"), metadata={}, content_type=TYPE)
    content = body(folder, bytes(40 * MIB))
    work = Deferred.fromCoroutine(store.put("whole", content, metadata={}, content_type=TYPE))
    failed = work.addErrback(lambda _: None)
    reactor.callLater(0.05, failed.cancel)
    await failed
    found = await store.head("whole")
    assert found is not None
    if found.etag == before.etag:
        assert await whole(store.get("whole")) == b"before"
    else:
        assert found.size == 40 * MIB  # it was quicker


@on_each_s3
async def test_an_upload_that_breaks_off_leaves_the_object_as_it_was(
    store: S3Store, server: Server, folder: Path
) -> None:
    """Also on s3rver, which keeps what came of a PUT."""
    assert (await store.capabilities()).put_whole == (server.name != "s3rver")
    await store.put("kept", body(folder, b"before"), metadata={}, content_type=TYPE)
    (piece,) = body(folder, bytes(3 * MIB)).slices
    gone = Body((piece, Slice(str(folder / "missing"), 0, 1)))
    store._read = lambda path, offset, length: bytes(length)
    assert await refused(store.put("kept", gone, metadata={}, content_type=TYPE)) is Kind.DAMAGED
    assert await whole(store.get("kept")) == b"before"
    assert await store.abort_uploads("kept", before_ns=1 << 62) == 0 if server.name != "s3rver" else True


@pytest_twisted.ensureDeferred
async def test_what_moto_honours_is_found_out(servers: Servers) -> None:
    pool = HTTPConnectionPool(reactor)
    found = await s3_store(servers["moto"], pool).capabilities()
    await pool.closeCachedConnections()
    assert found.put_if_absent
    assert found.put_if_match
    assert found.part_copy
    assert not found.complete_if_match
    assert not found.append_guarded


@pytest_twisted.ensureDeferred
async def test_a_key_cannot_leave_the_folder(tmp_path: Path) -> None:
    store = DirectoryStore(str(tmp_path / "objects"), offload=off)
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects" / "link").symlink_to(tmp_path)
    for key in ("../x", "a/../../x", "/x", "a//b", "link/x", "a\0b"):
        assert await refused(store.put(key, body(tmp_path, b"1"), metadata={}, content_type=TYPE)) is Kind.REFUSED
    assert not (tmp_path / "x").exists()
    long = "a" * 900 + ".png"
    await store.put(long, body(tmp_path, b"1"), metadata={}, content_type=TYPE)
    assert await whole(store.get(long)) == b"1"


@pytest_twisted.ensureDeferred
async def test_a_key_named_like_the_stores_own_folder_is_an_object_like_any_other(tmp_path: Path) -> None:
    store = DirectoryStore(str(tmp_path / "objects"), offload=off)
    await store.put("a", body(tmp_path, b"1"), metadata={"n": "1"}, content_type=TYPE)
    for key in (".meta/a", ".meta/a.json", "b/.meta/c"):
        await store.put(key, body(tmp_path, b"2"), metadata={"n": "2"}, content_type=TYPE)
        assert await whole(store.get(key)) == b"2"
    found = await store.head("a")
    assert found is not None and dict(found.metadata) == {"n": "1"}
