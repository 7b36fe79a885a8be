"""Requests to a store that misbehaves: every failure is a ``StoreError`` of the right kind, and leaves nothing behind."""

from __future__ import annotations

import gzip
import select
import socket
import time
from collections.abc import Awaitable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from lf6gateway.stores import http as http_module
from lf6gateway.stores.credentials import CredentialSource
from lf6gateway.stores.http import bucket_at
from lf6gateway.stores.s3 import S3Store
from lf6gateway.stores.s3_errors import LONGEST
from lf6gateway.stores.signing import EMPTY_SHA256, Keys
from lf6gateway.stores.store import Absent, Body, Present, Slice, Unchanged
from lf6gateway.values.failure import Kind, StoreError
from tests.scripted_s3 import (
    ABORTED,
    BEGUN,
    COMPLETED,
    MIB,
    NAMESPACE,
    PART,
    Connection,
    Play,
    Server,
    answer,
    body,
    error_xml,
    head_of,
    nothing_left,  # noqa: F401
    raw,
    s3_http,
    s3_store,
    scripted_server,  # noqa: F401
    steps,
    stopped,
    told,
    whole,
)

TYPE = "application/gzip"


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
        connection.send(head_of(200, 1000, ETag='"e"') + b"begun")
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
        connection.send(head_of(200, 8, ETag='"e"'))
        for _ in range(8):
            connection.wait(0.1)
            connection.send(b"x")

    server.plays = [steady]
    assert await whole(s3_store(server.port, 0.4).get("a")) == b"x" * 8


@pytest_twisted.ensureDeferred
async def test_a_stream_nobody_reads_on_is_let_go(server: Server) -> None:
    def endless(connection: Connection) -> None:
        connection.send(head_of(200, 1 << 40, ETag='"e"'))
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
    server.plays = [answer(200, content, ETag='"e"')]
    found = []
    async for chunk in s3_store(server.port).get("a", if_match='"e"'):
        found.append(chunk)
        if len(found) == 1:
            await deferLater(reactor, 0.2)
    assert sha256(b"".join(found)).digest() == sha256(content).digest()
    assert server.requests[0].headers["if-match"] == '"e"'


@pytest_twisted.ensureDeferred
async def test_a_range_is_what_was_asked_for_whatever_the_store_makes_of_it(server: Server) -> None:
    content = bytes(range(250))

    async def got(start: int, length: int | None) -> bytes:
        return await whole(s3_store(server.port).get("a", start=start, length=length))

    server.plays = [
        answer(206, content[10:15], ETag='"e"', Content_Range="bytes 10-14/250"),
        answer(206, content[10:], ETag='"e"', Content_Range="bytes 10-249/250"),
        answer(200, content, ETag='"e"'),  # it ignores ranges
        answer(200, content[10:15], ETag='"e"', Content_Range="bytes 10-14/250"),  # as rclone says it
        answer(416, b"<Error><Code>InvalidRange</Code></Error>"),
        answer(206, content[20:], ETag='"e"', Content_Range="bytes 20-249/250"),
        answer(206, content[10:], ETag='"e"'),
    ]
    assert await got(10, 5) == content[10:15]
    assert await got(10, None) == content[10:]
    assert await got(10, 5) == content[10:15]
    assert await got(10, 5) == content[10:15]
    assert await got(250, None) == b""
    for _ in range(2):
        assert (await told(got(10, None))).kind is Kind.TRANSIENT
    assert [one.headers["range"] for one in server.requests[:2]] == ["bytes=10-14", "bytes=10-"]


@pytest_twisted.ensureDeferred
async def test_a_stream_cut_in_the_middle_gives_what_came_and_then_an_error(server: Server) -> None:
    server.plays = [raw(head_of(200, 1000, ETag='"e"') + b"some")]
    chunks = s3_store(server.port).get("a")
    assert await anext(chunks) == b"some"
    assert (await told(anext(chunks))).kind is Kind.TRANSIENT


PACKED = gzip.compress(bytes(range(256)) * 100)


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
@pytest.mark.parametrize("content", [b"no gzip", PACKED[:-100], PACKED], ids=["garbage", "cut", "whole"])
@pytest_twisted.ensureDeferred
async def test_a_packed_answer_is_an_error(content: bytes, method: str, server: Server) -> None:
    server.plays = [answer(200, content, Content_Encoding="gzip", ETag='"e"')]
    error = await told(s3_http(server.port).request(method, "a", action="s3:GetObject"))
    assert error.kind is Kind.TRANSIENT
    assert error.applied is None
    assert server.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("content", [b"no gzip", PACKED[:-100], PACKED], ids=["garbage", "cut", "whole"])
@pytest_twisted.ensureDeferred
async def test_the_bytes_of_an_object_are_not_unpacked(content: bytes, server: Server) -> None:
    server.plays = [answer(200, content, Content_Encoding="gzip", ETag='"e"')]
    assert await whole(s3_store(server.port).get("a")) == content
    assert server.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("headers", [{}, {"ETag": '"page"'}])
@pytest_twisted.ensureDeferred
async def test_a_page_in_place_of_an_object_is_not_read(headers: dict[str, str], server: Server) -> None:
    """Its bytes would otherwise be written back as the beginning of the hour's object."""
    server.plays = [answer(200, b"<html>Please log in</html>", **headers)]
    chunks = s3_store(server.port).get("a", if_match='"e"')
    assert (await told(anext(chunks))).kind is (Kind.CONFLICT if headers else Kind.TRANSIENT)


@pytest.mark.parametrize("etag", ['"e"', 'W/"e"', "e"])
@pytest_twisted.ensureDeferred
async def test_an_etag_is_the_same_however_a_proxy_writes_it(etag: str, server: Server) -> None:
    server.plays = [answer(200, b"object", ETag=etag)]
    assert await whole(s3_store(server.port).get("a", if_match='"e"')) == b"object"


@pytest_twisted.ensureDeferred
async def test_an_object_of_no_length_that_just_ends_may_lack_its_end(server: Server) -> None:
    server.plays = [raw(head_of(200, None, ETag='"e"') + b"some")]
    chunks = s3_store(server.port).get("a")
    assert await anext(chunks) == b"some"
    assert (await told(anext(chunks))).kind is Kind.TRANSIENT


@pytest_twisted.ensureDeferred
async def test_a_stream_reset_in_the_middle_is_an_error(server: Server) -> None:
    def cut(connection: Connection) -> None:
        connection.send(head_of(200, 1000, ETag='"e"') + b"some")
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

        def expired(self, keys: Keys) -> None:
            assert keys == Keys("AK", "SK", "token")
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

    def watched(status: int, headers: Any, content: bytes, asked: Any) -> StoreError:
        seen.append(len(content))
        return classified(status, headers, content, asked)

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


def in_parts(store: S3Store, content: Body, *, condition: Any = None) -> Awaitable[Present]:
    return store.put_parts("a", None, content, metadata={}, content_type=TYPE, condition=condition)


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


@pytest.mark.parametrize("headers", [{}, {"ETag": '"page"'}])
@pytest.mark.parametrize(
    "page", [b"<!DOCTYPE html><html><body>Please log in</body></html>", b"<html><br></html>", b"OK"]
)
@pytest_twisted.ensureDeferred
async def test_a_page_of_a_proxy_with_status_200_is_no_success(
    page: bytes, headers: dict[str, str], server: Server, tmp_path: Path
) -> None:
    shows = raw(head_of(200, len(page), Content_Type="text/html", **headers))
    server.plays = [answer(200, page, Content_Type="text/html", **headers), shows]
    error = await told(s3_store(server.port).put("a", body(tmp_path, b"abc"), metadata={}, content_type=TYPE))
    assert error.kind is Kind.TRANSIENT


@pytest_twisted.ensureDeferred
async def test_a_part_without_an_etag_is_an_error(server: Server, tmp_path: Path) -> None:
    refusal = answer(400, error_xml("InvalidPart"))
    server.plays = [BEGUN, answer(200), refusal, ABORTED]
    assert (await told(in_parts(s3_store(server.port), body(tmp_path, b"x")))).kind is Kind.TRANSIENT
    assert steps(server) == ["POST uploads", "PUT partNumber", "DELETE uploadId"]


@pytest.mark.parametrize(
    "headers",
    [
        *[f'ETag: "e"\r\nContent-Length: {length}' for length in ("many", "-1", "", "1, 1", "²")],
        'ETag: "e"',
        "Content-Length: 7",
        "ETag: \r\nContent-Length: 7",
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_look_with_a_length_that_is_none_is_an_error(headers: str, server: Server) -> None:
    server.plays = [raw(f"HTTP/1.1 200 OK\r\n{headers}\r\n\r\n".encode())]
    assert (await told(s3_store(server.port).head("a"))).kind is Kind.TRANSIENT


@pytest.mark.parametrize("content", [b"", b"<html><br>", b"<html></html>", b"\x00", b"{}", b"<ListBucketRes"])
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
    url = "encoding-type=url"
    targets = [request.target for request in server.requests]
    assert targets == [f"/insights?{url}&{base}", f"/insights?continuation-token=t%2B%2F%20%3D~&{url}&{base}"]


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


@pytest_twisted.ensureDeferred
async def test_an_answer_before_the_body_was_taken_closes_the_connection(server: Server, tmp_path: Path) -> None:
    """A store that has refused and reads no more would otherwise keep the rest of the body waiting for good."""

    def deaf(connection: Connection) -> None:
        connection.socket.recv(1)
        content = error_xml("AccessDenied")
        connection.send(head_of(403, len(content)) + content)
        # It reads no more, so that only a reset tells it that nobody sends any more.
        poll = select.poll()
        poll.register(connection.socket, select.POLLHUP | select.POLLERR)
        closed.append(bool(poll.poll(10_000)))
        connection.gone()

    closed: list[bool] = []
    deaf.unread = True  # type: ignore[attr-defined]
    server.plays = [deaf]
    http = s3_http(server.port)
    with open(tmp_path / "large", "wb") as file:
        file.truncate(64 * MIB)
    large = Body((Slice(str(tmp_path / "large"), 0, 64 * MIB),))
    error = await told(http.request("PUT", "a", action="s3:PutObject", body=large, sha256="0" * 64))
    assert error.kind is Kind.DENIED
    await stopped(server)
    assert closed == [True]
    assert server.taken < 32 * MIB


@pytest_twisted.ensureDeferred
async def test_a_file_that_cannot_be_read_is_no_fault_of_the_store(server: Server, tmp_path: Path) -> None:
    def reads(connection: Connection) -> None:
        connection.gone()

    reads.unread = True  # type: ignore[attr-defined]
    server.plays = [reads]
    missing = Body((Slice(str(tmp_path / "missing"), 0, 10),))
    error = await told(s3_http(server.port).request("PUT", "a", action="s3:PutObject", body=missing, sha256="0" * 64))
    assert error.kind is Kind.DAMAGED
    assert "missing" in error.what
    await stopped(server)


@pytest_twisted.ensureDeferred
async def test_an_answer_without_end_is_an_error_and_is_not_read_on(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(connection: Connection) -> None:
        connection.send(head_of(200, 1 << 40) + b"<ListBucketResult>")
        try:
            while not connection.server.stopping.is_set():
                connection.send(b" " * 65536)
        except OSError:
            connection.server.closed.set()

    monkeypatch.setattr(http_module, "LONGEST_ANSWER", 1000)
    server.plays = [endless]
    error = await told(s3_store(server.port).list_keys(""))
    assert error.kind is Kind.TRANSIENT
    assert "more than 1000 bytes" in error.detail
    await stopped(server)


@pytest_twisted.ensureDeferred
async def test_a_request_that_cannot_be_made_is_that_objects_own_fault(server: Server, tmp_path: Path) -> None:
    put = s3_store(server.port).put("a\ud800", body(tmp_path, b"1"), metadata={}, content_type=TYPE)
    error = await told(put)
    assert error.kind is Kind.REFUSED
    assert error.applied is False
    assert server.requests == []


class Renewing:
    """Keys that a store calls expired, and those that come after."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)

    async def keys(self) -> Keys:
        return Keys(self.names[0], "SK", "token")

    def expired(self, keys: Keys) -> None:
        if keys.access == self.names[0] and len(self.names) > 1:
            del self.names[0]


EXPIRED = answer(400, error_xml("ExpiredToken"))


def signers(server: Server) -> list[str]:
    return [request.headers["authorization"].partition("Credential=")[2].split("/")[0] for request in server.requests]


@pytest_twisted.ensureDeferred
async def test_an_expired_token_is_renewed_and_the_request_sent_again_at_once(server: Server, tmp_path: Path) -> None:
    server.plays = [EXPIRED, answer(200, ETag='"e"'), EXPIRED, answer(200, b"object", ETag='"e"')]
    http = s3_http(server.port, credentials=Renewing("ONE", "TWO"))
    content = body(tmp_path, b"abc")
    digest = sha256(b"abc").hexdigest()
    await http.request("PUT", "a", action="s3:PutObject", body=content, sha256=digest)
    http = s3_http(server.port, credentials=Renewing("THREE", "FOUR"))
    assert await whole(http.stream("a", {})) == b"object"
    assert signers(server) == ["ONE", "TWO", "THREE", "FOUR"]
    assert [request.body for request in server.requests[:2]] == [b"abc", b"abc"]


@pytest_twisted.ensureDeferred
async def test_new_keys_that_have_expired_too_are_told(server: Server) -> None:
    server.plays = [EXPIRED] * 4
    for work in (
        s3_http(server.port, credentials=Renewing("ONE", "TWO", "THREE")).request("PUT", "a", action="s3:PutObject"),
        whole(s3_http(server.port, credentials=Renewing("ONE", "TWO", "THREE")).stream("a", {})),
    ):
        error = await told(work)
        assert error.kind is Kind.EXPIRED
        assert "token" in error.remedy
    assert signers(server) == ["ONE", "TWO", "ONE", "TWO"]


# Where a bucket is.


@pytest.mark.parametrize(
    ("name", "region", "endpoint", "base"),
    [
        ("insights", "eu-central-1", None, "https://insights.s3.eu-central-1.amazonaws.com"),
        ("my.insights", "eu-central-1", None, "https://s3.eu-central-1.amazonaws.com/my.insights"),
        ("insights", "cn-north-1", None, "https://insights.s3.cn-north-1.amazonaws.com.cn"),
        ("insights", "us-gov-west-1", None, "https://insights.s3.us-gov-west-1.amazonaws.com"),
        ("insights", "us-iso-east-1", None, "https://insights.s3.us-iso-east-1.c2s.ic.gov"),
        ("insights", "us-isob-east-1", None, "https://insights.s3.us-isob-east-1.sc2s.sgov.gov"),
        ("insights", "eusc-de-east-1", None, "https://insights.s3.eusc-de-east-1.amazonaws.eu"),
        ("insights", "eu-central-1", "http://127.0.0.1:9000", "http://127.0.0.1:9000/insights"),
        ("my.insights", "eu-central-1", "https://s3.example.org/", "https://s3.example.org/my.insights"),
    ],
)
def test_a_bucket_is_a_host_at_aws_and_a_path_at_an_endpoint(
    name: str, region: str, endpoint: str | None, base: str
) -> None:
    assert bucket_at(name, region, endpoint).base == base


@pytest_twisted.ensureDeferred
async def test_a_host_of_its_own_is_asked_for_the_key_alone(server: Server) -> None:
    server.plays = [answer(200, ETag='"e"'), answer(200, b"<ListBucketResult/>")]
    http = s3_http(server.port)
    http.bucket = http_module.Bucket("insights", f"http://localhost:{server.port}", "eu-central-1")
    await http.request("PUT", "usage/a b", action="s3:PutObject")
    await http.request("GET", "", action="s3:ListBucket", query=[("list-type", "2")])
    assert [request.target for request in server.requests] == ["/usage/a%20b", "/?list-type=2"]
    assert {request.headers["host"] for request in server.requests} == {f"localhost:{server.port}"}
    assert all("/eu-central-1/s3/aws4_request" in one.headers["authorization"] for one in server.requests)
