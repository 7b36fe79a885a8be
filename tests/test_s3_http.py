"""Requests to a store that misbehaves: every failure is a ``StoreError`` of the right kind, and leaves nothing behind."""

from __future__ import annotations

import gzip
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor, threads
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.web.client import Agent, HTTPConnectionPool

from lf6gateway.stores.credentials import CredentialSource
from lf6gateway.stores.http import S3Http, bucket_at
from lf6gateway.stores.s3 import S3Store
from lf6gateway.stores.s3_errors import LONGEST
from lf6gateway.stores.signing import EMPTY_SHA256, Keys
from lf6gateway.stores.store import Absent, Body, Capabilities, Present, Slice, Unchanged
from lf6gateway.values.failure import Kind, StoreError

MIB = 1024 * 1024
TYPE = "application/gzip"
EVERYTHING = Capabilities(
    put_if_absent=True,
    put_if_match=True,
    complete_if_match=True,
    complete_if_absent=True,
    part_copy=True,
    copy_if_match=True,
    checksum="sha256",
    checksum_verified=True,
)
NAMESPACE = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


@dataclass
class Request:
    """What arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Connection:
    """One connection to the server, as an answer plays on it."""

    socket: socket.socket
    server: Server

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def reset(self) -> None:
        """End it by RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def wait(self, seconds: float) -> None:
        self.server.stopping.wait(seconds)

    def gone(self) -> None:
        """Wait until the other side has closed; say that it did."""
        self.socket.settimeout(10)
        try:
            while self.socket.recv(65536):
                pass
        except TimeoutError:
            return
        except OSError:
            pass
        self.server.closed.set()


Play = Callable[[Connection], None]


@dataclass
class Server:
    """Plays one answer on each connection, in order, and ends it."""

    plays: list[Play] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)
    closed: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)
    sockets: list[socket.socket] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._spawn(self._serve)

    def _spawn(self, work: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._listening.accept()
            if self.stopping.is_set():
                connection.close()
                return
            self.sockets.append(connection)
            play = self.plays.pop(0) if self.plays else answer(500, b"nothing is left to play")
            self._spawn(self._talk, connection, play)

    def _talk(self, connection: socket.socket, play: Play) -> None:
        connection.settimeout(20)
        try:
            with connection:
                if not getattr(play, "unread", False):
                    self.requests.append(read_request(connection))
                play(Connection(connection, self))
        except OSError:
            self.closed.set()

    def stop(self) -> None:
        self.stopping.set()
        socket.create_connection(("127.0.0.1", self.port)).close()
        for connection in self.sockets:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in list(self.threads):
            thread.join(20)
            assert not thread.is_alive()
        self._listening.close()


def read_request(connection: socket.socket) -> Request:
    data = b""
    while b"\r\n\r\n" not in data:
        data += received(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", "0")):
        body += received(connection)
    return Request(method, target, headers, body)


def received(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("it ended early")
    return data


def head_of(status: int, length: int | None, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Some Reason", "Connection: close"]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    lines.extend(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def answer(status: int, body: bytes = b"", **headers: str) -> Play:
    """A whole answer."""
    return lambda connection: connection.send(head_of(status, len(body), **headers) + body)


def raw(data: bytes) -> Play:
    """Some bytes, then the end."""
    return lambda connection: connection.send(data)


def error_xml(code: str, xmlns: str = "") -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<Error{xmlns}><Code>{code}</Code><Message>m</Message></Error>'.encode()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """No delayed call outlives a test."""
    before = set(reactor.getDelayedCalls())
    yield
    pytest_twisted.blockon(deferLater(reactor, 0.01))  # an aborted connection ends in the next turn
    left = [call for call in reactor.getDelayedCalls() if call not in before]
    assert left == []


def off(work: Callable[[], Any], /) -> Deferred[Any]:
    return threads.deferToThread(work)


def s3_http(port: int, timeout_s: float = 10.0, *, credentials: Any = None) -> S3Http:
    return S3Http(
        agent=Agent(reactor, pool=HTTPConnectionPool(reactor, persistent=False)),
        bucket=bucket_at("insights", "us-east-1", f"http://127.0.0.1:{port}"),
        credentials=credentials
        or CredentialSource(static=Keys("AK", "SK"), profile=None, offload=off, seconds=lambda: 0.0),
        offload=off,
        clock=reactor,
        timeout_s=timeout_s,
    )


def s3_store(port: int, timeout_s: float = 10.0) -> S3Store:
    store = S3Store(s3_http(port, timeout_s), offload=off, part_bytes=5 * MIB, probe_key="_lf6gateway/probe.test")
    store._found = EVERYTHING
    return store


def body(folder: Path, *parts: bytes) -> Body:
    slices = []
    for number, part in enumerate(parts):
        path = folder / f"part-{number}"
        path.write_bytes(b"before" + part + b"behind")
        slices.append(Slice(str(path), 6, len(part)))
    return Body(tuple(slices))


async def told(work: Awaitable[object]) -> StoreError:
    """The error it must raise, which is a ``StoreError`` and nothing else."""
    with pytest.raises(StoreError) as caught:
        await work
    assert caught.type is StoreError
    assert len(caught.value.detail) < 1000
    return caught.value


async def whole(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


async def stopped(server: Server) -> None:
    """Wait, with the reactor running, until the server has seen the gateway close."""
    for _ in range(100):
        if server.closed.is_set():
            return
        await deferLater(reactor, 0.01)
    raise AssertionError("the connection is still open")


# What goes wrong before there is a whole answer.


def resets(connection: Connection) -> None:
    connection.reset()


def resets_unread(connection: Connection) -> None:
    connection.socket.recv(1)  # a reset any earlier could meet the connecting, when nothing has been sent yet
    connection.reset()


resets_unread.unread = True  # type: ignore[attr-defined]

LOST: dict[str, Play] = {
    "reset": resets,
    "reset before the whole request was read": resets_unread,
    "end without a byte": raw(b""),
    "half a status line": raw(b"HTTP/1.1 20"),
    "half a head": raw(b"HTTP/1.1 200 OK\r\nETag: "),
    "a head without its end": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n"),
    "no HTTP at all": raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    "a status that is none": raw(b"HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n"),
    "a length that is none": raw(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\nbody"),
    "a negative length": raw(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nbody"),
    "two lengths": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nbo"),
    "a body shorter than its length": raw(head_of(200, 100, ETag='"e"') + b"short"),
    "an error shorter than its length": raw(head_of(500, 100) + b"short"),
    "no body where one was promised": raw(head_of(200, 100, ETag='"e"')),
    "a chunk cut in the middle": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc"),
    "a chunk whose size is none": raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n"),
    "a header without end": raw(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000),
    "headers without end": raw(b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 100_000),
    "an unasked continue": raw(b"HTTP/1.1 100 Continue\r\n\r\n"),
}


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
@pytest.mark.parametrize("name", LOST)
@pytest_twisted.ensureDeferred
async def test_a_lost_answer_is_transient_and_may_have_been_applied(name: str, method: str, server: Server) -> None:
    server.plays = [LOST[name]]
    error = await told(s3_http(server.port).request(method, "a", action="s3:PutObject"))
    assert error.kind is Kind.TRANSIENT
    assert error.applied is None
    assert error.what == f"{method} s3://insights/a"


@pytest.mark.parametrize("name", LOST)
@pytest_twisted.ensureDeferred
async def test_a_lost_stream_is_transient(name: str, server: Server) -> None:
    server.plays = [LOST[name]]
    assert (await told(whole(s3_store(server.port).get("a")))).kind is Kind.TRANSIENT


@pytest_twisted.ensureDeferred
async def test_a_refused_connection_has_changed_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    store = s3_store(port)
    put = store.put("a", body(tmp_path, b"1"), metadata={}, content_type=TYPE)
    for work in (put, store.head("a"), whole(store.get("a"))):
        error = await told(work)
        assert error.kind is Kind.TRANSIENT
        assert error.applied is False


# Deadlines.


def silent(connection: Connection) -> None:
    connection.gone()


def late(connection: Connection) -> None:
    connection.wait(0.6)
    connection.send(head_of(200, 0, ETag='"late"'))
    connection.gone()


def trickles(connection: Connection) -> None:
    connection.send(head_of(200, 1000, ETag='"slow"'))
    connection.socket.settimeout(0.02)
    for _ in range(500):
        connection.send(b"<")
        try:
            if not connection.socket.recv(1):
                break
        except TimeoutError:
            continue
        except OSError:
            break
    else:
        return
    connection.server.closed.set()


def half_then_silent(connection: Connection) -> None:
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Le")
    connection.gone()


def error_then_silent(connection: Connection) -> None:
    connection.send(head_of(500, 1000) + b"<Error>")
    connection.gone()


@pytest.mark.parametrize("play", [silent, late, trickles, half_then_silent, error_then_silent])
@pytest_twisted.ensureDeferred
async def test_an_answer_later_than_the_deadline_may_have_been_applied(play: Play, server: Server) -> None:
    server.plays = [play]
    started = time.monotonic()
    error = await told(s3_http(server.port, 0.2).request("PUT", "a", action="s3:PutObject", data=b"x"))
    assert time.monotonic() - started < 2
    assert error.kind is Kind.TRANSIENT
    assert error.applied is None
    assert "no answer within" in error.detail


@pytest.mark.parametrize(
    "play",
    [
        silent,
        late,
        half_then_silent,
        trickles,
        error_then_silent,
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_request_given_up_gives_its_connection_up(play: Play, server: Server) -> None:
    server.plays = [play]
    await told(s3_http(server.port, 0.2).request("GET", "a", action="s3:GetObject"))
    await stopped(server)


@pytest_twisted.ensureDeferred
async def test_patience_and_the_size_of_the_body_lengthen_the_deadline(server: Server, tmp_path: Path) -> None:
    server.plays = [late, late, late]
    http = s3_http(server.port, 0.1)
    assert (await told(http.request("PUT", "a", action="s3:PutObject"))).kind is Kind.TRANSIENT
    answered = await http.request("PUT", "a", action="s3:PutObject", patience=50.0)
    assert answered.headers["etag"] == '"late"'
    large = body(tmp_path, b"x" * MIB)
    answered = await http.request("PUT", "a", action="s3:PutObject", body=large, sha256="0" * 64)
    assert answered.headers["etag"] == '"late"'


@pytest_twisted.ensureDeferred
async def test_a_body_nobody_takes_meets_the_deadline(server: Server, tmp_path: Path) -> None:
    def deaf(connection: Connection) -> None:
        connection.wait(3)

    deaf.unread = True  # type: ignore[attr-defined]
    server.plays = [deaf]
    http = s3_http(server.port, -255.0)  # what 32 MiB are granted beyond it leaves a second
    large = Body((Slice(str(tmp_path / "large"), 0, 32 * MIB),))
    with open(tmp_path / "large", "wb") as file:
        file.truncate(32 * MIB)
    error = await told(http.request("PUT", "a", action="s3:PutObject", body=large, sha256="0" * 64))
    assert error.kind is Kind.TRANSIENT
    assert error.applied is None
    server.stopping.set()


@pytest_twisted.ensureDeferred
async def test_keys_that_do_not_come_meet_the_deadline(server: Server) -> None:
    waiting = CredentialSource(static=None, profile=None, offload=lambda _: Deferred(), seconds=lambda: 0.0)
    error = await told(s3_http(server.port, 0.1, credentials=waiting).request("GET", "a", action="s3:GetObject"))
    assert error.kind is Kind.TRANSIENT
    assert server.requests == []


@pytest.mark.parametrize("play", [silent, half_then_silent, error_then_silent])
@pytest_twisted.ensureDeferred
async def test_a_stream_that_does_not_begin_meets_the_deadline(play: Play, server: Server) -> None:
    server.plays = [play]
    error = await told(whole(s3_store(server.port, 0.2).get("a")))
    assert error.kind is Kind.TRANSIENT
    await stopped(server)


@pytest_twisted.ensureDeferred
async def test_a_stream_that_stands_still_meets_the_deadline(server: Server) -> None:
    def stands(connection: Connection) -> None:
        connection.send(head_of(200, 1000) + b"begun")
        connection.gone()

    server.plays = [stands]
    chunks = s3_store(server.port, 0.2).get("a")
    assert await anext(chunks) == b"begun"
    error = await told(anext(chunks))
    assert error.kind is Kind.TRANSIENT
    await stopped(server)


@pytest_twisted.ensureDeferred
async def test_a_stream_may_take_longer_than_the_deadline_while_it_goes_on(server: Server) -> None:
    def steady(connection: Connection) -> None:
        connection.send(head_of(200, 8))
        for _ in range(8):
            connection.wait(0.1)
            connection.send(b"x")

    server.plays = [steady]
    assert await whole(s3_store(server.port, 0.4).get("a")) == b"x" * 8


@pytest_twisted.ensureDeferred
async def test_a_stream_nobody_reads_on_is_let_go(server: Server) -> None:
    def endless(connection: Connection) -> None:
        connection.send(head_of(200, 1 << 40))
        try:
            while not connection.server.stopping.is_set():
                connection.send(b"x" * 65536)
        except OSError:
            connection.server.closed.set()

    server.plays = [endless]
    chunks = s3_http(server.port).stream("a", {})
    assert await anext(chunks)
    await chunks.aclose()  # type: ignore[attr-defined]
    await stopped(server)


# Streams.


@pytest_twisted.ensureDeferred
async def test_a_stream_arrives_byte_for_byte_and_holds_the_store_back(server: Server) -> None:
    content = bytes(range(256)) * (4 * 4096 * 5)
    server.plays = [answer(200, content)]
    found = []
    async for chunk in s3_store(server.port).get("a", if_match='"e"'):
        found.append(chunk)
        if len(found) == 1:
            await deferLater(reactor, 0.2)
    assert sha256(b"".join(found)).digest() == sha256(content).digest()
    assert server.requests[0].headers["if-match"] == '"e"'


@pytest_twisted.ensureDeferred
async def test_a_stream_cut_in_the_middle_gives_what_came_and_then_an_error(server: Server) -> None:
    server.plays = [raw(head_of(200, 1000) + b"some")]
    chunks = s3_store(server.port).get("a")
    assert await anext(chunks) == b"some"
    assert (await told(anext(chunks))).kind is Kind.TRANSIENT


PACKED = gzip.compress(bytes(range(256)) * 100)


@pytest.mark.parametrize("content", [b"no gzip", PACKED[:-100]], ids=["garbage", "cut"])
@pytest.mark.parametrize("streamed", [True, False])
@pytest_twisted.ensureDeferred
async def test_a_packed_body_that_cannot_be_unpacked_is_an_error(
    streamed: bool, content: bytes, server: Server
) -> None:
    server.plays = [answer(200, content, Content_Encoding="gzip")]
    http = s3_http(server.port)
    work = whole(http.stream("a", {})) if streamed else http.request("GET", "a", action="s3:GetObject")
    assert (await told(work)).kind is Kind.TRANSIENT


@pytest_twisted.ensureDeferred
async def test_the_bytes_of_an_object_are_not_unpacked(server: Server) -> None:
    server.plays = [answer(200, PACKED, Content_Encoding="gzip")]
    assert await whole(s3_store(server.port).get("a")) == PACKED


@pytest_twisted.ensureDeferred
async def test_a_stream_reset_in_the_middle_is_an_error(server: Server) -> None:
    def cut(connection: Connection) -> None:
        connection.send(head_of(200, 1000) + b"some")
        connection.wait(0.1)
        connection.reset()

    server.plays = [cut]
    assert (await told(whole(s3_store(server.port).get("a")))).kind is Kind.TRANSIENT


# Answers that are errors.


@pytest.mark.parametrize(
    ("status", "content", "headers", "kind", "applied"),
    [
        (301, error_xml("PermanentRedirect"), {"x_amz_bucket_region": "eu-central-1"}, Kind.REGION, False),
        (301, b"", {"x_amz_bucket_region": "eu-central-1"}, Kind.REGION, False),
        (307, error_xml("TemporaryRedirect"), {}, Kind.TRANSIENT, None),
        (307, b"", {}, Kind.TRANSIENT, None),
        (308, b"", {}, Kind.REGION, False),
        (302, b"", {}, Kind.REFUSED, False),
        (400, error_xml("ExpiredToken"), {}, Kind.EXPIRED, False),
        (403, error_xml("AccessDenied"), {}, Kind.DENIED, False),
        (403, b"<html>Forbidden</html>", {"Content_Type": "text/html"}, Kind.DENIED, False),
        (404, error_xml("NoSuchBucket", NAMESPACE), {}, Kind.NO_BUCKET, False),
        (409, error_xml("ConditionalRequestConflict"), {}, Kind.CONFLICT, False),
        (412, error_xml("PreconditionFailed"), {}, Kind.CONFLICT, False),
        (413, b"<html><h1>413 Request Entity Too Large</h1></html>", {}, Kind.REFUSED, False),
        (500, error_xml("InternalError"), {}, Kind.TRANSIENT, None),
        (501, error_xml("NotImplemented"), {}, Kind.UNSUPPORTED, None),
        (502, b"<html><body><h1>502 Bad Gateway</h1><hr></body></html>", {}, Kind.TRANSIENT, None),
        (503, error_xml("SlowDown"), {"Retry_After": "7"}, Kind.SLOW_DOWN, None),
        (504, b"", {}, Kind.TRANSIENT, None),
    ],
)
@pytest_twisted.ensureDeferred
async def test_an_error_is_told_by_its_kind(
    status: int, content: bytes, headers: dict[str, str], kind: Kind, applied: bool | None, server: Server
) -> None:
    elsewhere = f"http://127.0.0.1:{server.port}/elsewhere"
    play = answer(status, content, Location=elsewhere, **headers)
    server.plays = [play, play]
    http = s3_http(server.port)
    put = await told(http.request("PUT", "a", action="s3:PutObject", data=b"x"))
    got = await told(whole(http.stream("a", {})))
    for error in (put, got):
        assert error.kind is kind
        assert error.applied is applied
        assert error.retry_after == (7.0 if kind is Kind.SLOW_DOWN else None)
        if "x_amz_bucket_region" in headers:
            assert "set aws.region (now us-east-1) to eu-central-1" in error.remedy
    assert "s3:GetObject" in got.remedy or kind is not Kind.DENIED
    assert "s3:PutObject" in put.remedy or kind is not Kind.DENIED
    assert [request.target for request in server.requests] == ["/insights/a", "/insights/a"]


@pytest_twisted.ensureDeferred
async def test_an_expired_token_makes_the_credentials_be_looked_for_anew(server: Server) -> None:
    class Source:
        called = 0

        async def keys(self) -> Keys:
            return Keys("AK", "SK", "token")

        def expired(self) -> None:
            self.called += 1

    source = Source()
    server.plays = [answer(400, error_xml("ExpiredToken")), answer(403, error_xml("AccessDenied"))]
    http = s3_http(server.port, credentials=source)
    assert (await told(http.request("GET", "a", action="s3:GetObject"))).kind is Kind.EXPIRED
    assert source.called == 1
    assert (await told(http.request("GET", "a", action="s3:GetObject"))).kind is Kind.DENIED
    assert source.called == 1


@pytest.mark.parametrize("size", [LONGEST - 1000, MIB + 12_345, 16 * MIB])
@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest_twisted.ensureDeferred
async def test_a_large_error_body_is_bounded(method: str, size: int, server: Server) -> None:
    seen: list[int] = []
    http = s3_http(server.port)
    classified = http._failed

    def watched(status: int, headers: Any, content: bytes, what: str, action: str) -> StoreError:
        seen.append(len(content))
        return classified(status, headers, content, what, action)

    http._failed = watched  # type: ignore[method-assign]
    server.plays = [answer(403, error_xml("AccessDenied") + b" " * size)] * 2
    assert (await told(http.request(method, "a", action="s3:PutObject"))).kind is Kind.DENIED
    assert (await told(whole(http.stream("a", {})))).kind is Kind.DENIED
    assert len(seen) == 2
    assert max(seen) <= LONGEST


@pytest_twisted.ensureDeferred
async def test_an_error_body_that_unpacks_to_much_is_bounded(server: Server) -> None:
    server.plays = [answer(500, gzip.compress(bytes(32 * MIB)), Content_Encoding="gzip")]
    assert (await told(s3_http(server.port).request("GET", "a", action="s3:GetObject"))).kind is Kind.TRANSIENT


@pytest_twisted.ensureDeferred
async def test_a_stream_refused_in_an_encoding_unheard_of_is_a_store_error(server: Server) -> None:
    server.plays = [answer(403, b'<?xml version="1.0" encoding="nonsense"?><Error/>')]
    assert (await told(whole(s3_store(server.port).get("a")))).kind is Kind.DENIED


# Whole operations.

BEGUN = answer(200, b"<InitiateMultipartUploadResult><UploadId>up+/=</UploadId></InitiateMultipartUploadResult>")
PART = answer(200, ETag='"part"')
ABORTED = answer(204)
COMPLETED = answer(200, b'<CompleteMultipartUploadResult><ETag>"whole"</ETag></CompleteMultipartUploadResult>')


def in_parts(store: S3Store, content: Body, *, condition: Any = None) -> Awaitable[Present]:
    return store.put_parts("a", None, content, metadata={}, content_type=TYPE, condition=condition)


def steps(server: Server) -> list[str]:
    return [f"{request.method} {request.target.partition('?')[2].partition('=')[0]}" for request in server.requests]


SUCCESSFUL_FAILURES = [
    ("InternalError", Kind.TRANSIENT),
    ("SlowDown", Kind.SLOW_DOWN),
    ("PreconditionFailed", Kind.CONFLICT),
    ("NoSuchUpload", Kind.GONE),
    ("AccessDenied", Kind.DENIED),
]


@pytest.mark.parametrize(("code", "kind"), SUCCESSFUL_FAILURES)
@pytest_twisted.ensureDeferred
async def test_a_completion_that_answers_200_with_an_error_is_no_success(
    code: str, kind: Kind, server: Server, tmp_path: Path
) -> None:
    server.plays = [BEGUN, PART, answer(200, error_xml(code)), ABORTED]
    error = await told(in_parts(s3_store(server.port), body(tmp_path, b"x")))
    assert error.kind is kind
    assert error.applied is None
    assert steps(server) == ["POST uploads", "PUT partNumber", "POST uploadId", "DELETE uploadId"]


@pytest_twisted.ensureDeferred
async def test_a_completion_that_answers_200_with_an_error_in_a_namespace_is_no_success(
    server: Server, tmp_path: Path
) -> None:
    older = answer(200, ETag='"older"')
    server.plays = [BEGUN, PART, answer(200, error_xml("InternalError", NAMESPACE)), older, ABORTED]
    error = await told(in_parts(s3_store(server.port), body(tmp_path, b"x"), condition=Unchanged('"older"')))
    assert error.kind is Kind.TRANSIENT


@pytest.mark.parametrize(("code", "kind"), SUCCESSFUL_FAILURES)
@pytest_twisted.ensureDeferred
async def test_a_copy_that_answers_200_with_an_error_is_told_by_its_kind(
    code: str, kind: Kind, server: Server, tmp_path: Path
) -> None:
    server.plays = [BEGUN, answer(200, error_xml(code)), ABORTED]
    present = Present('"e"', 6 * MIB)
    work = s3_store(server.port).append("a", present, body(tmp_path, b"x"), metadata={}, content_type=TYPE)
    assert (await told(work)).kind is kind


@pytest_twisted.ensureDeferred
async def test_blanks_sent_while_the_store_works_are_no_obstacle(server: Server, tmp_path: Path) -> None:
    def slow(connection: Connection) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b'<?xml version="1.0" encoding="UTF-8"?>')
        for _ in range(5):
            connection.wait(0.02)
            connection.send(b"   \n")
        connection.send(b'<CompleteMultipartUploadResult><ETag>"whole"</ETag></CompleteMultipartUploadResult>')

    server.plays = [BEGUN, PART, slow]
    assert await in_parts(s3_store(server.port), body(tmp_path, b"xy")) == Present('"whole"', 2)


@pytest.mark.parametrize("content", [b"", b"<html><p>a proxy's page</html>", b"<a/>", b"\x00\xff"])
@pytest_twisted.ensureDeferred
async def test_an_upload_that_begins_with_no_id_is_an_error(content: bytes, server: Server, tmp_path: Path) -> None:
    server.plays = [answer(200, content)]
    error = await told(in_parts(s3_store(server.port), body(tmp_path, b"x")))
    assert error.kind is Kind.TRANSIENT
    assert steps(server) == ["POST uploads"]


@pytest_twisted.ensureDeferred
async def test_an_upload_that_cannot_be_aborted_fails_with_what_failed_first(server: Server, tmp_path: Path) -> None:
    server.plays = [BEGUN, answer(403, error_xml("AccessDenied")), resets]
    assert (await told(in_parts(s3_store(server.port), body(tmp_path, b"x")))).kind is Kind.DENIED


@pytest.mark.parametrize("etag", ["", "   "])
@pytest_twisted.ensureDeferred
async def test_a_put_that_answers_without_an_etag_is_looked_at(etag: str, server: Server, tmp_path: Path) -> None:
    server.plays = [answer(200, ETag=etag), raw(head_of(200, 3, ETag='"seen"'))]
    put = s3_store(server.port).put("a", body(tmp_path, b"abc"), metadata={}, content_type=TYPE)
    assert await put == Present('"seen"', 3)
    assert [request.method for request in server.requests] == ["PUT", "HEAD"]


@pytest_twisted.ensureDeferred
async def test_a_put_that_is_not_seen_afterwards_is_transient(server: Server, tmp_path: Path) -> None:
    server.plays = [answer(200), answer(404)]
    error = await told(s3_store(server.port).put("a", body(tmp_path, b"abc"), metadata={}, content_type=TYPE))
    assert error.kind is Kind.TRANSIENT
    assert error.applied is None


@pytest_twisted.ensureDeferred
async def test_a_page_of_a_proxy_with_status_200_is_no_success(server: Server, tmp_path: Path) -> None:
    page = b"<!DOCTYPE html><html><body>Please log in</body></html>"
    server.plays = [answer(200, page, Content_Type="text/html"), raw(head_of(200, len(page), Content_Type="text/html"))]
    error = await told(s3_store(server.port).put("a", body(tmp_path, b"abc"), metadata={}, content_type=TYPE))
    assert error.kind is Kind.TRANSIENT


@pytest_twisted.ensureDeferred
async def test_a_part_without_an_etag_is_an_error(server: Server, tmp_path: Path) -> None:
    refusal = answer(400, error_xml("InvalidPart"))
    server.plays = [BEGUN, answer(200), refusal, ABORTED]
    assert (await told(in_parts(s3_store(server.port), body(tmp_path, b"x")))).kind is Kind.TRANSIENT


@pytest.mark.parametrize("length", ["many", "-1", "", "1, 1"])
@pytest_twisted.ensureDeferred
async def test_a_look_with_a_length_that_is_none_is_an_error(length: str, server: Server) -> None:
    server.plays = [raw(f'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: {length}\r\n\r\n'.encode())]
    assert (await told(s3_store(server.port).head("a"))).kind is Kind.TRANSIENT


@pytest.mark.parametrize(
    ("status", "kind"),
    [(301, Kind.REGION), (400, Kind.REFUSED), (403, Kind.DENIED), (500, Kind.TRANSIENT), (503, Kind.SLOW_DOWN)],
)
@pytest_twisted.ensureDeferred
async def test_a_look_has_only_the_status_to_go_by(status: int, kind: Kind, server: Server) -> None:
    server.plays = [raw(head_of(status, 243)), raw(head_of(404, 243))]
    store = s3_store(server.port)
    assert (await told(store.head("a"))).kind is kind
    assert await store.head("a") is None


@pytest.mark.parametrize("content", [b"", b"<html><br>", b"\x00", b"{}"])
@pytest_twisted.ensureDeferred
async def test_a_list_that_is_no_xml_is_an_error(content: bytes, server: Server) -> None:
    server.plays = [answer(200, content), answer(200, content)]
    store = s3_store(server.port)
    assert (await told(store.list_keys("usage/"))).kind is Kind.TRANSIENT
    assert (await told(store.abort_uploads("usage/", before_ns=1))).kind is Kind.TRANSIENT


@pytest_twisted.ensureDeferred
async def test_a_list_in_an_encoding_unheard_of_is_an_error(server: Server) -> None:
    server.plays = [answer(200, b'<?xml version="1.0" encoding="nonsense"?><a/>')]
    assert (await told(s3_store(server.port).list_keys("usage/"))).kind is Kind.TRANSIENT


@pytest_twisted.ensureDeferred
async def test_a_list_goes_on_with_the_token_as_it_came(server: Server) -> None:
    first = "<ListBucketResult><Contents><Key>b</Key></Contents><NextContinuationToken>t+/ =~</NextContinuationToken>"
    second = f"<ListBucketResult{NAMESPACE}><Contents><Key>a &amp; ü</Key></Contents></ListBucketResult>"
    server.plays = [answer(200, f"{first}</ListBucketResult>".encode()), answer(200, second.encode())]
    assert await s3_store(server.port).list_keys("u +/") == ["a & ü", "b"]
    base = "list-type=2&prefix=u%20%2B%2F"
    targets = [request.target for request in server.requests]
    assert targets == [f"/insights?{base}", f"/insights?continuation-token=t%2B%2F%20%3D~&{base}"]


@pytest_twisted.ensureDeferred
async def test_a_list_of_the_longest_keys_is_read_whole(server: Server) -> None:
    keys = [f"{number:04}-{'k' * 1019}" for number in range(1000)]
    fields = "<LastModified>2026-01-02T03:04:05.000Z</LastModified><Size>1</Size>"
    items = "".join(f"<Contents><Key>{key}</Key>{fields}</Contents>" for key in keys)
    server.plays = [answer(200, f"<ListBucketResult>{items}</ListBucketResult>".encode())]
    assert await s3_store(server.port).list_keys("") == keys


# What is sent.


@pytest.mark.parametrize(
    "parts",
    [
        (b"",),
        (b"one",),
        (b"one", b"", b"two"),
        (b"", b""),
        tuple(bytes([number]) * (number * 1000) for number in range(20)),
        (bytes(range(251)) * 1024, b"-", bytes(range(251)) * 2500),
    ],
    ids=["empty", "one", "three", "twice nothing", "many", "large"],
)
@pytest_twisted.ensureDeferred
async def test_a_body_of_several_files_arrives_byte_for_byte(
    parts: tuple[bytes, ...], server: Server, tmp_path: Path
) -> None:
    server.plays = [answer(200, ETag='"e"')]
    content = body(tmp_path, *parts)
    metadata = {"uri": "a b", "n": "1"}
    put = s3_store(server.port).put("ä b+c", content, metadata=metadata, content_type=TYPE, condition=Absent())
    assert await put == Present('"e"', content.length)
    (request,) = server.requests
    assert (request.method, request.target) == ("PUT", "/insights/%C3%A4%20b%2Bc")
    assert request.body == b"".join(parts)
    assert request.headers["x-amz-content-sha256"] == sha256(request.body).hexdigest()
    assert request.headers["content-length"] == str(content.length)
    assert request.headers["host"] == f"127.0.0.1:{server.port}"
    assert request.headers["content-type"] == TYPE
    assert request.headers["if-none-match"] == "*"
    assert (request.headers["x-amz-meta-uri"], request.headers["x-amz-meta-n"]) == ("a b", "1")
    signed = request.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    assert {"host", "if-none-match", "x-amz-content-sha256", "x-amz-date", "x-amz-meta-uri"} <= set(signed)
    assert "transfer-encoding" not in request.headers


@pytest_twisted.ensureDeferred
async def test_parts_arrive_byte_for_byte_each_under_its_own_hash(server: Server, tmp_path: Path) -> None:
    data = bytes(range(251)) * 50_000
    server.plays = [BEGUN, *[answer(200, ETag=f'"part-{number}"') for number in (1, 2, 3)], COMPLETED]
    content = body(tmp_path, data[:100], data[100 : 6 * MIB], data[6 * MIB :])
    assert await in_parts(s3_store(server.port), content, condition=Unchanged('"old"')) == Present('"whole"', len(data))
    begun, *parts, completed = server.requests
    assert begun.headers["x-amz-content-sha256"] == EMPTY_SHA256
    assert b"".join(part.body for part in parts) == data
    assert [len(part.body) for part in parts] == [5 * MIB, 5 * MIB, len(data) - 10 * MIB]
    for number, part in enumerate(parts, 1):
        assert part.target == f"/insights/a?partNumber={number}&uploadId=up%2B%2F%3D"
        assert part.headers["x-amz-content-sha256"] == sha256(part.body).hexdigest()
    assert completed.headers["if-match"] == '"old"'
    assert completed.headers["x-amz-content-sha256"] == sha256(completed.body).hexdigest()
    assert completed.body.count(b"<Part>") == 3
    assert completed.body.index(b'"part-1"') < completed.body.index(b'"part-2"') < completed.body.index(b'"part-3"')


@pytest_twisted.ensureDeferred
async def test_a_file_cut_between_its_hash_and_its_sending_is_damage(server: Server, tmp_path: Path) -> None:
    def reads(connection: Connection) -> None:
        connection.gone()

    reads.unread = True  # type: ignore[attr-defined]
    server.plays = [reads]
    short = Body((Slice(body(tmp_path, b"some").slices[0].path, 0, 10_000),))
    work = s3_http(server.port).request("PUT", "a", action="s3:PutObject", body=short, sha256="0" * 64)
    error = await told(work)
    assert error.kind is Kind.DAMAGED
    assert error.applied is False
    await stopped(server)


@pytest_twisted.ensureDeferred
async def test_an_answer_before_the_body_was_taken_is_what_counts(server: Server, tmp_path: Path) -> None:
    def early(connection: Connection) -> None:
        content = error_xml("AccessDenied")
        connection.send(head_of(403, len(content)) + content)
        connection.gone()

    early.unread = True  # type: ignore[attr-defined]
    server.plays = [early]
    large = body(tmp_path, b"x" * (8 * MIB))
    error = await told(s3_http(server.port).request("PUT", "a", action="s3:PutObject", body=large, sha256="0" * 64))
    assert error.kind is Kind.DENIED
