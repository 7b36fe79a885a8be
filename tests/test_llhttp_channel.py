"""What the channel on llhttp does besides all that both channels do: handing over what needs twisted.web, gathering
answers, and bounding what it holds."""

from __future__ import annotations

import re
import socket
import sys
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import ISystemHandle
from twisted.internet.threads import deferToThread
from twisted.web.resource import Resource
from zope.interface import alsoProvides

from lf6gateway.edges.channel import GatewayChannel
from lf6gateway.edges.site import ChannelMissing, GatewaySite, channel_maker
from lf6gateway.values.limits import Limits
from tests.http_support import Connection, Gateway, Transport, chunked, each_channel, read_replies, request

pytest.importorskip("httptools", reason="httptools is not installed: its channel cannot be tried")
__all__ = ["each_channel"]


class Echo(Resource):
    isLeaf = True

    def render_PUT(self, request: Any) -> bytes:
        return b"echo " + request.content.read()


def hosted() -> tuple[Gateway, Connection]:
    gateway = Gateway()
    root = Resource()
    root.putChild(b"echo", Echo())
    root.putChild(b"insights", gateway.resource)
    site = GatewaySite(root, Limits(), reactor=gateway.clock, channel="httptools")
    return gateway, Connection(site, gateway.clock)


@pytest.mark.parametrize("cut", [None, 1, 10])
def test_a_connection_goes_from_our_endpoints_to_a_hosts_resource_and_back(cut: int | None) -> None:
    gateway, connection = hosted()
    for target, status, body in (
        ("/insights/usage", 204, b""),
        ("/echo", 200, b"echo 1"),
        ("/insights/usage", 204, b""),
    ):
        connection.send(request("PUT", target, b"1"), cut=cut)
        reply = connection.reply()
        assert (reply.status, reply.body) == (status, body)
    assert connection.open
    assert gateway.backend.usage.lines == b"1\n1\n"
    connection.send(chunked("PUT", "/echo", [b"a", b"b"]) + request("PUT", "/insights/usage", b"2"), cut=cut)
    assert [reply.body for reply in connection.replies()] == [b"echo ab", b""]
    connection.hang_up()
    assert gateway.site.connections == 0


def test_a_connection_that_was_handed_over_is_still_one_and_ends_with_the_drain() -> None:
    gateway, connection = hosted()
    site: GatewaySite = connection.channel.site
    connection.send(request("PUT", "/echo", b"1"))
    assert connection.reply().status == 200
    assert site.connections == 1
    drained = site.drain()
    gateway.clock.advance(0)
    assert not connection.open and drained.called
    assert gateway.clock.getDelayedCalls() == []


def test_a_hosts_resource_behind_one_of_ours_in_one_segment_is_not_begun_and_the_answer_says_so() -> None:
    gateway, connection = hosted()
    gateway.backend.usage.by_hand = True
    connection.send(request("PUT", "/insights/usage", b"1") + request("PUT", "/echo", b"2"))
    gateway.backend.usage.flush()
    gateway.clock.advance(0)
    reply = connection.reply()
    assert (reply.status, reply.header("connection")) == (204, "close")
    assert not connection.open


def test_a_method_nobody_knows_leaves_the_connection_as_it_is() -> None:
    gateway = Gateway()
    connection = gateway.connect()
    for sent, status in (
        (request("PUT", "/usage", b"1"), 204),
        (request("FROB", "/usage"), 405),
        (request("GET", "/health"), 200),
    ):
        for cut in (None, 1):
            connection.send(sent, cut=cut)
            assert connection.reply().status == status
    assert connection.open


def test_who_offers_another_protocol_is_answered_in_this_one() -> None:
    gateway = Gateway()
    for cut in (None, 1):
        connection = gateway.connect()
        offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAEAAEAAAAIAAAAB")
        for sent in (request("PUT", "/usage", b"12", *offer), request("GET", "/health", None, *offer)):
            connection.send(sent + request("PUT", "/usage", b"3"), cut=cut)
            assert [reply.status for reply in connection.replies()] in ([204, 204], [200, 204])
    assert gateway.backend.usage.lines == b"12\n3\n3\n" * 2


def test_a_full_segment_of_pipelined_requests_is_no_head_too_large() -> None:
    gateway = Gateway(Limits(max_head=1_000))
    connection = gateway.connect()
    one = request("PUT", "/usage", b"1", "A: " + "x" * 500)
    sent = one * 100
    connection.send(sent[:-100])
    connection.send(sent[-100:])
    assert [reply.status for reply in connection.replies()] == [204] * 100


def test_what_comes_behind_an_unanswered_request_is_bounded() -> None:
    gateway = Gateway()
    gateway.backend.usage.by_hand = True
    connection = gateway.connect()
    connection.send(request("PUT", "/usage", b"1"))
    health = request("GET", "/health")
    count = 0
    while not connection.paused:
        connection.send(health)
        count += 1
    assert 60_000 < count * len(health) < 70_000
    gateway.backend.usage.flush()
    for _ in range(count):
        gateway.clock.advance(0)  # they take turns with those of other connections
    assert [reply.status for reply in connection.replies()] == [204] + [200] * count
    assert not connection.paused


def test_answers_given_together_go_out_together() -> None:
    gateway = Gateway()
    connection = gateway.connect()
    written = []
    connection.transport.write = written.append  # type: ignore[method-assign]
    connection.send(request("GET", "/health") * 8 + request("PUT", "/usage", b"1") * 8)
    [once] = written
    assert len(read_replies(once)[0]) == 16


def test_a_trailer_is_no_header(each_channel: str) -> None:
    gateway = Gateway()
    connection = gateway.connect()
    head = request("PUT", "/usage", None, "Transfer-Encoding: chunked", user=None)
    connection.send(head + b"1\r\n1\r\n0\r\nUser-Token: alice\r\n\r\n")
    assert connection.reply().status == 401


@pytest.mark.parametrize("endless", [b"A: xxxxxxxxxxxxxx\r\n", b"x"])
def test_a_trailer_without_end_is_refused(endless: bytes) -> None:
    gateway = Gateway()
    connection = gateway.connect()
    connection.send(request("PUT", "/usage", None, "Transfer-Encoding: chunked") + b"1\r\n1\r\n0\r\nA:")
    sent = 0
    while not connection.raw and sent < 10_000_000:
        connection.send(endless * 500)
        sent += len(endless) * 500
    assert connection.reply().status == 400
    assert sent < 100_000
    assert gateway.backend.usage.entries == []


def test_a_fault_of_the_channels_own_is_not_the_senders(monkeypatch: pytest.MonkeyPatch) -> None:
    gateway = Gateway()
    connection = gateway.connect()
    monkeypatch.setattr("lf6gateway.edges.llhttp_channel.endpoint_at", lambda root, path: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        connection.channel.dataReceived(request("PUT", "/usage", b"1"))
    assert connection.raw == b""


class Handle:
    """A socket with room for so many bytes."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.sent = b""

    def send(self, data: bytes) -> int:
        if not self.room:
            raise BlockingIOError
        size = min(self.room, len(data))
        self.room -= size
        self.sent += data[:size]
        return size


@pytest.mark.parametrize("room", [0, 10, 100_000])
def test_what_the_system_has_no_room_for_goes_by_the_transport_and_so_does_all_behind_it(room: int) -> None:
    gateway = Gateway()
    handle = Handle(room)

    class Tcp(Transport):
        def getHandle(self) -> Handle:
            return handle

    transport = Tcp(gateway.clock)
    alsoProvides(transport, ISystemHandle)
    connection = Connection(gateway.site, gateway.clock, transport)
    connection.send(request("GET", "/health", None, "X-Request-Id: 1"))
    assert bool(connection.raw) == (room < 1_000)
    handle.room += 1_000
    connection.send(request("GET", "/health", None, "X-Request-Id: 2"))
    replies, rest = read_replies(handle.sent + connection.raw)
    assert ([reply.header("x-request-id") for reply in replies], rest) == (["1", "2"], b"")


@pytest_twisted.ensureDeferred
async def test_a_client_that_reads_late_gets_every_answer_in_its_order() -> None:
    gateway = Gateway()
    site = GatewaySite(gateway.resource, Limits(), channel="httptools")
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(site)
    count = 30_000

    def talk() -> list[bytes]:
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            client.connect(("127.0.0.1", port.getHost().port))
            received = bytearray()
            for start in range(0, count, 500):
                # As much as goes without blocking; only then something is read.
                data = b"".join(
                    request("GET", "/health", None, f"X-Request-Id: {number}") for number in range(start, start + 500)
                )
                while data:
                    try:
                        client.setblocking(False)
                        data = data[client.send(data) :]
                    except BlockingIOError:
                        client.settimeout(30)
                        received += client.recv(1 << 16)
            client.settimeout(30)
            while not received.endswith(b'healthy"}') or b"X-Request-Id: %d\r\n" % (count - 1) not in received[-400:]:
                received += client.recv(1 << 20)
            return re.findall(
                rb"HTTP/1.1 200 OK\r\n[^{]*X-Request-Id: (\d+)\r\n[^{]*{\"status\":\"healthy\"}", received
            )

    try:
        assert await deferToThread(talk) == [b"%d" % number for number in range(count)]
    finally:
        await port.stopListening()
        await site.drain()


def test_without_httptools_twisted_reads_and_who_asks_for_httptools_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert channel_maker("twisted") is GatewayChannel
    assert channel_maker("auto") is not GatewayChannel
    monkeypatch.setitem(sys.modules, "httptools", None)
    monkeypatch.delitem(sys.modules, "lf6gateway.edges.llhttp_channel")
    assert channel_maker("auto") is GatewayChannel
    with pytest.raises(ChannelMissing, match=r"http\.channel: httptools cannot be used.*lf6gateway\[speed\]"):
        channel_maker("httptools")
