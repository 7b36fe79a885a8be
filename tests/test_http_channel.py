"""What a connection of the public port does with time, with what is not HTTP, with bodies nobody wants, and at its end."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ITCPTransport
from twisted.web.resource import Resource
from zope.interface import alsoProvides

from lf6gateway.edges.connection import DRAIN_HEAD
from lf6gateway.values.limits import Limits
from tests.http_support import Connection, Gateway, Transport, chunked, each_channel, read_replies, request, site_of

pytestmark = pytest.mark.usefixtures("each_channel")
__all__ = ["each_channel"]

EXPECT = "Expect: 100-continue"
LIMITS = Limits(header_timeout=10, body_timeout=30, idle_timeout=75, linger=5, close_timeout=15)


# Keeping a connection.


def test_a_connection_is_kept_and_its_answers_are_in_order() -> None:
    gateway = Gateway()
    connection = gateway.connect()
    sent = b"".join(
        [
            request("PUT", "/usage", b"1", "X-Request-Id: a"),
            request("GET", "/health", None, "X-Request-Id: b"),
            chunked("PUT", "/specimen?uri=a", [b"x", b"y"], "X-Request-Id: c"),
            request("PUT", "/usage", b"{", "X-Request-Id: d"),
            request("GET", "/nothing", None, "X-Request-Id: e"),
            request("PUT", "/nothing", b"body", "X-Request-Id: f"),
            request("PUT", "/usage", b"2", "X-Request-Id: g"),
        ]
    )
    for cut in (None, 1, 7, 100):
        connection.send(sent, cut=cut)
        replies = connection.replies()
        assert [reply.header("x-request-id") for reply in replies] == list("abcdefg")
        assert [reply.status for reply in replies] == [204, 200, 204, 400, 404, 404, 204]
        assert all(reply.header("connection") is None for reply in replies)
    assert connection.open
    assert gateway.backend.usage.lines == b"1\n2\n" * 4


def test_answers_of_pipelined_requests_wait_for_each_other() -> None:
    gateway = Gateway()
    gateway.backend.usage.by_hand = True
    connection = gateway.connect()
    connection.send(request("PUT", "/usage", b"1") + request("GET", "/health") + request("PUT", "/usage", b"2"))
    assert connection.raw == b""
    gateway.backend.usage.flush()
    assert [reply.status for reply in connection.replies()] == [204, 200]
    gateway.backend.usage.flush()
    assert connection.reply().status == 204


@pytest.mark.parametrize("sent", ["Connection: close", "Connection: TE, Close", "connection: CLOSE"])
def test_a_connection_is_closed_where_the_client_says_so(sent: str) -> None:
    connection = Gateway().connect()
    connection.send(request("PUT", "/usage", b"1", sent))
    assert connection.reply().header("connection") == "close"
    assert not connection.open


def test_http_1_0_gets_one_answer() -> None:
    connection = Gateway().connect()
    connection.send(request("PUT", "/usage", b"1", version="HTTP/1.0"))
    assert connection.reply().status == 204
    assert not connection.open


# What is not HTTP.

MALFORMED = {
    "no request line": b"hello\r\n\r\n",
    "no version": b"GET /health\r\n\r\n",
    "a later version": b"GET /health HTTP/2.0\r\n\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
    "a space in the path": b"GET /he alth HTTP/1.1\r\n\r\n",
    "a method that is no token": b"G(T /health HTTP/1.1\r\n\r\n",
    "a header without a colon": b"GET /health HTTP/1.1\r\nHost\r\n\r\n",
    "a space before the colon": b"GET /health HTTP/1.1\r\nHost : x\r\n\r\n",
    "a NUL in a header": b"GET /health HTTP/1.1\r\nA: b\x00c\r\n\r\n",
    "a bare LF in a header": b"GET /health HTTP/1.1\r\nA: b\nUser-Token: c\r\n\r\n",
    "two lengths": b"PUT /usage HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n1",
    "a list of lengths": b"PUT /usage HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n1",
    "a negative length": b"PUT /usage HTTP/1.1\r\nContent-Length: -1\r\n\r\n1",
    "a length with a sign": b"PUT /usage HTTP/1.1\r\nContent-Length: +1\r\n\r\n1",
    "a length beyond all numbers": b"PUT /usage HTTP/1.1\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n1",
    "length and chunks": b"PUT /usage HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": b"PUT /usage HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "chunks twice": b"PUT /usage HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "an encoding over chunks": b"PUT /usage HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunks last but not alone": b"PUT /usage HTTP/1.1\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
    "chunks not last": b"PUT /usage HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunks and then something else": b"PUT /usage HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n",
    "something else and then chunks": b"PUT /usage HTTP/1.1\r\nTransfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks behind a vertical tab": b"PUT /usage HTTP/1.1\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunks in quotation marks": b'PUT /usage HTTP/1.1\r\nTransfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "an empty transfer encoding": b"PUT /usage HTTP/1.1\r\nTransfer-Encoding:\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "a transfer encoding with a space before the colon": b"PUT /usage HTTP/1.1\r\nTransfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "a length with a space before the colon": b"PUT /usage HTTP/1.1\r\nContent-Length : 1\r\n\r\n1",
    "different lengths": b"PUT /usage HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 30\r\n\r\n1",
    "an empty length": b"PUT /usage HTTP/1.1\r\nContent-Length: \r\n\r\n1",
    "a length in another base": b"PUT /usage HTTP/1.1\r\nContent-Length: 0x1\r\n\r\n1",
    "a length with an underscore": b"PUT /usage HTTP/1.1\r\nContent-Length: 1_0\r\n\r\n1234567890",
    "a length of two numbers": b"PUT /usage HTTP/1.1\r\nContent-Length: 1 1\r\n\r\n1",
    "a length in other digits": "PUT /usage HTTP/1.1\r\nContent-Length: \u0661\r\n\r\n1".encode(),
    "a folded header": b"PUT /usage HTTP/1.1\r\nA: b\r\n c\r\nContent-Length: 1\r\n\r\n1",
    "a folded header, by a tab": b"PUT /usage HTTP/1.1\r\nA: b\r\n\tc\r\nContent-Length: 1\r\n\r\n1",
    "a folded transfer encoding": b"PUT /usage HTTP/1.1\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a first header that begins with a space": b"PUT /usage HTTP/1.1\r\n Content-Length: 1\r\nContent-Length: 1\r\n\r\n1",
    "lines that end in a bare LF": b"PUT /usage HTTP/1.1\nContent-Length: 1\n\n1" + b"\r\n\r\n",
    "a head that ends in a bare LF": b"PUT /usage HTTP/1.1\r\nContent-Length: 1\r\n\n1" + b"\r\n\r\n",
    "a bare CR in a header": b"GET /health HTTP/1.1\r\nA: b\rContent-Length: 5\r\n\r\n",
    "a header without a name": b"GET /health HTTP/1.1\r\n: b\r\n\r\n",
    "an unknown transfer encoding": b"PUT /usage HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
@pytest.mark.parametrize("cut", [None, 1])
def test_what_is_not_http_gets_a_problem_and_the_end(data: bytes, cut: int | None) -> None:
    gateway = Gateway(LIMITS)
    connection = gateway.connect()
    connection.send(data + request("PUT", "/usage", b"1"), cut=cut)
    reply = connection.reply()
    assert reply.status == 400
    assert reply.problem["type"].endswith(":malformed-request")
    assert reply.header("connection") == "close"
    connection.send(request("PUT", "/usage", b"1"))
    assert connection.raw == b""
    gateway.clock.advance(5)
    assert not connection.open
    assert gateway.backend.usage.entries == []


@pytest.mark.parametrize(
    "body",
    [
        b"x\r\n",
        b"-1\r\n",
        b"0x1\r\n1\r\n0\r\n\r\n",
        b"1\r\n12\r\n",
        b"1\r\n1\r\r0\r\n\r\n",
        b"f" * 2_000,
        b"1;\x00\r\n1\r\n",
        b"1\n1\r\n0\r\n\r\n",
        b"1\r\n1\n0\r\n\r\n",
        b"1;a\n1\r\n0\r\n\r\n",
        b"1 \r\n1\r\n0\r\n\r\n",
        b"+1\r\n1\r\n0\r\n\r\n",
        b"1_0\r\n1234567890123456\r\n0\r\n\r\n",
    ],
)
def test_chunks_that_are_none_get_a_problem_and_the_end(body: bytes) -> None:
    for target in ("/usage", "/specimen?uri=a"):
        gateway = Gateway(LIMITS)
        connection = gateway.connect()
        connection.send(request("PUT", target, None, "Transfer-Encoding: chunked") + body)
        reply = connection.reply()
        assert (reply.status, reply.problem["status"]) == (400, 400)
        assert not gateway.backend.usage.entries and not gateway.backend.specimens.kept
        assert {writer.state for writer in gateway.backend.specimens.begun} <= {"aborted"}
        assert gateway.resource.door.memory.held == 0


@pytest.mark.parametrize(
    "data",
    [
        b"GET /" + b"x" * 40_000,
        b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/1.1\r\nA: " + b"x" * 40_000,
        b"GET /health HTTP/1.1\r\n" + b"A: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n" * 1_500 + b"\r\n",
        b"GET /health HTTP/1.1\r\n" + b"A:\r\n" * 250 + b"\r\n",
    ],
)
def test_a_head_too_large_gets_a_problem_and_the_end(data: bytes) -> None:
    for cut in (None, 1_000):
        connection = Gateway().connect()
        connection.send(data, cut=cut)
        reply = connection.reply()
        assert reply.status == 431
        assert reply.problem["type"].endswith(":head-too-large")
        assert reply.header("connection") == "close"


def test_the_id_of_what_is_refused_on_the_way_is_the_callers() -> None:
    connection = Gateway().connect()
    connection.send(request("PUT", "/usage", None, "X-Request-Id: mine", "Transfer-Encoding: chunked") + b"zz\r\n")
    assert connection.reply().problem["request_id"] == "mine"


# Bodies nobody wants.


def test_who_waits_for_a_continue_gets_it_and_then_the_answer() -> None:
    gateway = Gateway()
    for target in ("/usage", "/specimen?uri=a"):
        for sent in (request("PUT", target, b"[1]", EXPECT), chunked("PUT", target, [b"[1]"], EXPECT)):
            connection = gateway.connect()
            head, body = sent.split(b"\r\n\r\n", 1)
            connection.send(head + b"\r\n\r\n")
            assert connection.raw == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.transport.clear()
            connection.send(body)
            assert connection.reply().status == 204
            assert connection.open


REFUSED = {
    401: request("PUT", "/usage", b"x" * 900, EXPECT, user=None),
    400: request("PUT", "/usage", b"x" * 900, EXPECT, user=".."),
    404: request("PUT", "/nothing", b"x" * 900, EXPECT),
    405: request("DELETE", "/usage", b"x" * 900, EXPECT),
    413: request("PUT", "/usage", b"x" * 2_000_000, EXPECT),
    415: request("PUT", "/usage", b"x" * 900, EXPECT, "Content-Encoding: br"),
}


@pytest.mark.parametrize("status", REFUSED)
def test_who_is_refused_is_never_told_to_send_the_body(status: int) -> None:
    connection = Gateway().connect()
    connection.send(REFUSED[status].split(b"\r\n\r\n", 1)[0] + b"\r\n\r\n")
    reply = connection.reply()
    assert reply.status == status
    assert reply.problem
    assert reply.header("connection") == "close"


def test_who_repeats_a_specimen_need_not_send_it() -> None:
    gateway = Gateway()
    key = "Idempotency-Key: k"
    assert gateway.ask(request("PUT", "/specimen?uri=a", b"x" * 900, key)).status == 204
    connection = gateway.connect()
    connection.send(request("PUT", "/specimen?uri=a", b"x" * 900, key, EXPECT).split(b"\r\n\r\n", 1)[0] + b"\r\n\r\n")
    assert connection.reply().status == 204


def test_no_continue_is_sent_where_the_body_has_come_or_is_none() -> None:
    gateway = Gateway()
    assert gateway.ask(request("PUT", "/usage", b"1", EXPECT)).status == 204
    assert gateway.ask(request("PUT", "/specimen?uri=a", b"", EXPECT)).status == 204
    assert gateway.ask(request("GET", "/health", None, EXPECT)).status == 200


def test_413_comes_before_the_body() -> None:
    gateway = Gateway(LIMITS)
    for target, size in (("/usage", 2_000_000), ("/specimen?uri=a", 300 << 20)):
        connection = gateway.connect()
        connection.send(request("PUT", target, None, f"Content-Length: {size}"))
        reply = connection.reply()
        assert reply.status == 413
        assert reply.header("connection") == "close"
    assert gateway.backend.specimens.begun == []


def test_a_small_body_that_is_refused_is_read_and_the_connection_kept() -> None:
    connection = Gateway().connect()
    sent = request("PUT", "/nothing", b"x" * 60_000)
    for _ in range(3):
        connection.send(sent[:-1])
        reply = connection.reply()
        assert (reply.status, reply.header("connection")) == (404, None)
        connection.send(sent[-1:] + request("GET", "/health"))
        assert connection.reply().status == 200
    assert connection.open


def test_the_rest_of_a_large_body_is_dropped_for_a_while_so_that_the_answer_is_seen() -> None:
    gateway = Gateway(LIMITS)
    connection = gateway.connect()
    connection.send(request("PUT", "/nothing", None, "Content-Length: 10000000"))
    assert connection.reply().status == 404
    for _ in range(20):
        connection.send(b"x" * 65_536)
        assert connection.open and not connection.paused
    assert connection.raw == b""
    gateway.clock.advance(LIMITS.linger)
    assert not connection.open


def test_what_is_dropped_is_bounded() -> None:
    gateway = Gateway(Limits(linger_bytes=100_000))
    connection = gateway.connect()
    connection.send(request("PUT", "/nothing", None, "Content-Length: 10000000"))
    connection.send(b"x" * 100_000)
    assert connection.open
    connection.send(b"x")
    assert not connection.open


def test_a_chunked_body_that_gets_too_large_is_refused_on_the_way() -> None:
    gateway = Gateway(Limits(max_report=1_000))
    connection = gateway.connect()
    sent = chunked("PUT", "/usage", [b" " * 400] * 3) + request("PUT", "/usage", b"1")
    connection.send(sent[:-20])
    assert connection.reply().status == 413
    connection.send(sent[-20:])
    assert connection.raw == b""
    assert gateway.backend.usage.entries == []


def test_half_a_connection_is_closed_behind_an_early_answer() -> None:
    gateway = Gateway(LIMITS)
    half_closed = []

    class Tcp(Transport):
        def loseWriteConnection(self) -> None:
            half_closed.append(bytes(self.value()))

        def setTcpNoDelay(self, enabled: bool) -> None:
            pass

    transport = Tcp(gateway.clock)
    alsoProvides(transport, ITCPTransport)
    connection = Connection(gateway.site, gateway.clock, transport)
    connection.send(request("PUT", "/nothing", None, "Content-Length: 10000000"))
    [written] = half_closed
    assert read_replies(written)[0][0].status == 404


# Time.


def test_an_idle_connection_is_closed_quietly() -> None:
    gateway = Gateway(LIMITS)
    fresh = gateway.connect()
    used = gateway.connect()
    gateway.clock.advance(74)
    used.send(request("GET", "/health"))
    assert used.reply().status == 200
    assert fresh.open
    gateway.clock.advance(1.1)
    assert not fresh.open and fresh.raw == b""
    gateway.clock.advance(73)
    assert used.open
    gateway.clock.advance(1)
    assert not used.open and used.raw == b""


def test_a_slow_head_gets_408_however_it_trickles() -> None:
    gateway = Gateway(LIMITS)
    connection = gateway.connect()
    gateway.clock.advance(70)
    for byte in b"GET /health":
        connection.send(bytes([byte]))
        gateway.clock.advance(0.95)
    reply = connection.reply()
    assert reply.status == 408
    assert reply.problem["type"].endswith(":too-slow")
    assert reply.header("connection") == "close"
    gateway.clock.advance(LIMITS.linger)
    assert not connection.open


def test_a_slow_head_after_a_whole_request_gets_408() -> None:
    for rest in (b"GET", b"GET /health HTTP/1.1\r\n", b"GET /health HTTP/1.1\r\nHost: a\r\n"):
        gateway = Gateway(LIMITS)
        connection = gateway.connect()
        connection.send(request("PUT", "/usage", b"1") + rest)
        assert connection.reply().status == 204
        gateway.clock.advance(10)
        assert connection.reply().status == 408


@pytest.mark.parametrize("target", ["/usage", "/specimen?uri=a"])
def test_a_body_that_pauses_too_long_gets_408(target: str) -> None:
    gateway = Gateway(LIMITS)
    connection = gateway.connect()
    connection.send(request("PUT", target, None, "Content-Length: 100000", "X-Request-Id: mine") + b"[1")
    for _ in range(4):
        gateway.clock.advance(29)
        connection.send(b" " * 5_000)
        assert connection.raw == b""
    gateway.clock.advance(29)
    assert connection.raw == b""
    gateway.clock.advance(1)
    reply = connection.reply()
    assert reply.status == 408
    assert reply.problem["request_id"] == "mine"
    assert {writer.state for writer in gateway.backend.specimens.begun} <= {"aborted"}
    assert gateway.resource.door.memory.held == 0
    gateway.clock.advance(LIMITS.linger)
    assert not connection.open


def test_a_body_that_trickles_gets_408() -> None:
    gateway = Gateway(LIMITS)
    connection = gateway.connect()
    connection.send(request("PUT", "/usage", None, "Content-Length: 100000"))
    for _ in range(10):
        gateway.clock.advance(5)
        connection.send(b" ")
    assert connection.reply().status == 408


def test_a_body_that_is_dropped_is_not_waited_for_for_ever() -> None:
    gateway = Gateway(LIMITS)
    connection = gateway.connect()
    connection.send(request("PUT", "/nothing", None, "Content-Length: 1000"))
    assert connection.reply().status == 404
    gateway.clock.advance(29)
    assert connection.open
    gateway.clock.advance(1.1)
    assert connection.raw == b"" and not connection.open


def test_it_is_not_the_senders_fault_if_the_disk_is_slow() -> None:
    gateway = Gateway(LIMITS)
    gateway.backend.specimens.by_hand = True
    connection = gateway.connect()
    connection.send(request("PUT", "/specimen?uri=a", bytes(2_000_000))[:-1])
    assert connection.paused
    gateway.clock.advance(300)
    assert connection.raw == b""
    gateway.backend.specimens.begun[0].drain()
    assert not connection.paused
    gateway.clock.advance(29)
    connection.send(b"\0")
    gateway.backend.specimens.begun[0].drain()
    assert connection.reply().status == 204


def test_a_sender_that_was_told_to_wait_is_read_again_only_when_the_disk_is_ready() -> None:
    gateway = Gateway(LIMITS)
    gateway.backend.specimens.by_hand = True
    connection = gateway.connect()
    connection.send(request("PUT", "/specimen?uri=a", bytes(2_000_000))[:-1])
    connection.channel.pauseProducing()  # as the transport does when its own buffer is full
    connection.channel.resumeProducing()
    assert connection.paused
    connection.send(b"\0")
    assert not connection.paused  # the body is whole; what is read now is whether the client is still there
    connection.hang_up()


def test_a_sender_that_was_told_to_wait_and_then_breaks_off_is_read_to_its_end() -> None:
    gateway = Gateway(LIMITS)
    gateway.backend.specimens.by_hand = True
    connection = gateway.connect()
    connection.send(chunked("PUT", "/specimen?uri=a", [bytes(2_000_000)])[:-5] + b"zz\r\n")
    assert connection.reply().status == 400
    assert not connection.paused
    assert gateway.backend.specimens.begun[0].state == "aborted"


def test_a_client_that_does_not_read_is_cut_off_in_the_end() -> None:
    gateway = Gateway(LIMITS)
    connection = gateway.connect()
    connection.transport.loseConnection = lambda: None  # type: ignore[method-assign]
    connection.send(request("GET", "/health", None, "Connection: close"))
    gateway.clock.advance(14)
    assert not connection.transport.disconnected
    gateway.clock.advance(1)
    assert connection.transport.disconnected


def test_nothing_is_left_in_the_reactor_when_connections_are_gone() -> None:
    gateway = Gateway(LIMITS)
    for sent in (b"", b"GET", request("GET", "/health"), request("PUT", "/usage", b"12")[:-1], b"nonsense\r\n"):
        connection = gateway.connect()
        connection.send(sent)
        connection.hang_up()
    assert gateway.clock.getDelayedCalls() == []
    assert gateway.site.connections == 0


# Clients that are gone.


def test_a_client_that_is_gone_before_its_answer_makes_no_noise() -> None:
    from twisted.logger import capturedLogs

    gateway = Gateway()
    gateway.backend.usage.by_hand = True
    with capturedLogs() as events:
        connection = gateway.connect()
        connection.send(request("PUT", "/usage", b"1"))
        connection.hang_up()
        gateway.backend.usage.flush()
        for sent in (request("PUT", "/usage", b"1" * 100), chunked("PUT", "/specimen?uri=a", [b"1" * 100])):
            for cut in range(1, len(sent) - 1, 7):
                connection = gateway.connect()
                connection.send(sent[:cut])
                connection.hang_up()
    assert events == []
    assert gateway.backend.usage.lines == b"1\n"  # it was on its way to disk already
    assert gateway.backend.specimens.kept == []
    assert gateway.resource.door.memory.held == 0


# How many.


def test_connections_beyond_the_limit_are_told_and_closed() -> None:
    gateway = Gateway(Limits(max_connections=2))
    held = [gateway.connect(), gateway.connect()]
    for connection in held:
        connection.send(b"PUT /usage")
    third = gateway.connect()
    reply = third.reply()
    assert reply.status == 503
    assert reply.problem["reason"] == "too_many_connections"
    assert reply.header("retry-after") == "1"
    third.send(request("PUT", "/usage", b"1"))
    assert third.raw == b"" and gateway.backend.usage.entries == []
    gateway.clock.advance(2)
    assert not third.open
    held[0].hang_up()
    fourth = gateway.connect()
    fourth.send(request("GET", "/health"))
    assert fourth.reply().status == 200


def test_a_flood_of_connections_is_cut_without_a_word() -> None:
    gateway = Gateway(Limits(max_connections=1))
    gateway.connect().send(b"PUT /usage")
    connections = [gateway.connect() for _ in range(1_500)]
    gateway.clock.advance(0)
    assert 900 < sum(connection.open for connection in connections) < 1_100


# The end.


def test_draining_ends_used_connections_at_once_and_busy_ones_with_their_answer() -> None:
    gateway = Gateway(LIMITS)
    gateway.backend.usage.by_hand = True
    idle, used, busy, sending = (gateway.connect() for _ in range(4))
    used.send(request("GET", "/health"))
    assert used.reply().header("connection") is None
    busy.send(request("PUT", "/usage", b"1"))
    sending.send(request("PUT", "/usage", b"23")[:-1])
    drained: Deferred[None] = gateway.site.drain()
    gateway.backend.receiver.drain()
    gateway.clock.advance(0)
    assert [idle.open, used.open, busy.open, sending.open] == [True, False, True, True]
    assert not drained.called
    gateway.backend.usage.flush()
    gateway.clock.advance(0)
    reply = busy.reply()
    assert (reply.status, reply.header("connection")) == (204, "close")
    assert not busy.open and not drained.called
    sending.send(b"3")
    gateway.backend.usage.flush()
    gateway.clock.advance(0)
    assert sending.reply().status == 204
    assert not sending.open
    assert idle.open and not drained.called
    gateway.clock.advance(DRAIN_HEAD)
    gateway.clock.advance(0)
    assert not idle.open and idle.raw == b""
    assert drained.called
    assert gateway.backend.usage.lines == b"1\n23\n"


def test_who_has_just_connected_when_draining_begins_is_still_answered() -> None:
    gateway = Gateway(LIMITS)
    fresh = gateway.connect()
    drained = gateway.site.drain()
    fresh.send(request("PUT", "/usage", b"1"))
    reply = fresh.reply()
    assert (reply.status, reply.header("connection")) == (204, "close")
    assert not fresh.open and drained.called
    assert gateway.backend.usage.lines == b"1\n"


def test_draining_with_nothing_under_way_is_done_at_once() -> None:
    assert Gateway().site.drain().called


def test_draining_does_not_wait_long_for_a_head_or_for_a_body_that_nobody_reads() -> None:
    gateway = Gateway(LIMITS)
    head, unread, dropped = (gateway.connect() for _ in range(3))
    head.send(b"PUT /usage HTTP/1.1\r\n")
    unread.send(request("PUT", "/nothing", None, "Content-Length: 1000000"))
    assert unread.reply().status == 404
    dropped.send(request("PUT", "/nothing", None, "Content-Length: 1000"))
    assert dropped.reply().status == 404
    drained = gateway.site.drain()
    gateway.clock.advance(0)
    assert not dropped.open
    gateway.clock.advance(1)
    assert not unread.open
    gateway.clock.advance(1)
    assert head.reply().problem["reason"] == "draining"
    gateway.clock.advance(1)
    gateway.clock.advance(0)
    assert not head.open
    assert drained.called


def test_a_connection_that_comes_while_draining_is_told() -> None:
    gateway = Gateway()
    gateway.site.drain()
    connection = gateway.connect()
    assert connection.reply().problem["reason"] == "draining"


# Beside others.


class Echo(Resource):
    isLeaf = True

    def render_PUT(self, request: object) -> bytes:
        return request.content.read()  # type: ignore[attr-defined,no-any-return]

    def render_GET(self, request: object) -> bytes:
        return b"".join(request.args[b"a"])  # type: ignore[attr-defined]


def test_a_hosts_own_resources_work_beside_ours_on_our_site() -> None:
    gateway = Gateway()
    root = Resource()
    root.putChild(b"echo", Echo())
    root.putChild(b"insights", gateway.resource)
    site = site_of(root, Limits(max_specimen=1_000), reactor=gateway.clock)
    connection = Connection(site, gateway.clock)
    connection.send(
        request("PUT", "/echo", b"hello") + request("GET", "/echo?a=b") + request("PUT", "/insights/usage", b"1")
    )
    replies = connection.replies()
    assert [(reply.status, reply.body) for reply in replies] == [(200, b"hello"), (200, b"b"), (204, b"")]
    assert replies[0].header("server") is None
    connection.send(request("PUT", "/insights/usage/", b"1") + request("GET", "/insights"))
    assert [reply.problem["status"] for reply in connection.replies()] == [404, 404]
    connection.send(request("PUT", "/echo", b"x" * 1_001))
    assert connection.reply().status == 413


def test_a_cut_gives_up_what_is_under_way_at_once() -> None:
    gateway = Gateway(LIMITS)
    gateway.backend.usage.by_hand = True
    body, specimen, waiting, idle = (gateway.connect() for _ in range(4))
    body.send(request("PUT", "/usage", b"12345")[:-1])
    specimen.send(request("PUT", "/specimen?uri=a", b"12345")[:-1])
    waiting.send(request("PUT", "/usage", b"1"))
    drained = gateway.site.drain()
    gateway.site.cut()
    assert [writer.state for writer in gateway.backend.specimens.begun] == ["aborted"]
    gateway.clock.advance(0)
    assert not any(one.open for one in (body, specimen, waiting, idle))
    assert drained.called
    gateway.backend.usage.flush()
    assert gateway.resource.door.memory.held == 0
    assert waiting.raw == b""
