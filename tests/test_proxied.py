"""The PROXY protocol: who it says is calling is believed from trusted proxies, and from nobody else."""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.testing import StringTransport

from lf6gateway.edges.proxied import ProxiedFactory
from lf6gateway.values.networks import parse_networks, plain_address

PROXY = IPv4Address("TCP", "10.0.0.1", 4711)
V2 = b"\r\n\r\n\x00\r\nQUIT\n"


class Inside(Protocol):
    def __init__(self) -> None:
        self.got = b""

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    @property
    def peer(self) -> str:
        transport: Any = self.transport
        return plain_address(str(transport.getPeer().host))


def v2(source: str, command: int = 0x21) -> bytes:
    family = 0x21 if ":" in source else 0x11
    kind = socket.AF_INET6 if ":" in source else socket.AF_INET
    addresses = socket.inet_pton(kind, source) * 2 + struct.pack("!HH", 1234, 80)
    return V2 + bytes([command, family]) + struct.pack("!H", len(addresses)) + addresses


def connected(address: Any = PROXY, trusted: tuple[str, ...] = ("10.0.0.0/8", "unix")) -> Any:
    inner = ServerFactory()
    made: list[Inside] = []
    inner.buildProtocol = lambda _: made.append(Inside()) or made[-1]  # type: ignore[method-assign,assignment,func-returns-value]
    factory = ProxiedFactory(inner, lambda: parse_networks(trusted))
    protocol = factory.buildProtocol(address)
    if protocol is None:
        return None
    transport = StringTransport(peerAddress=address)
    protocol.makeConnection(transport)
    return protocol, made[0], transport


@pytest.mark.parametrize(
    ("header", "peer"),
    [
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 1234 80\r\n", "192.0.2.7"),
        (b"PROXY TCP6 2001:db8::7 ::1 1234 80\r\n", "2001:db8::7"),
        (b"PROXY UNKNOWN \r\n", "10.0.0.1"),
        (v2("192.0.2.7"), "192.0.2.7"),
        (v2("2001:db8::7"), "2001:db8::7"),
    ],
)
@pytest.mark.parametrize("cut", [1, 5, 13, 1000])
def test_the_client_is_the_one_that_a_trusted_proxy_names(header: bytes, peer: str, cut: int) -> None:
    protocol, inside, transport = connected()
    data = header + b"GET / HTTP/1.1\r\n"
    for at in range(0, len(data), cut):
        protocol.dataReceived(data[at : at + cut])
    assert inside.peer == peer
    assert inside.got == b"GET / HTTP/1.1\r\n"
    assert not transport.disconnecting


def test_a_proxy_s_own_question_is_its_own() -> None:
    protocol, inside, _ = connected()
    protocol.dataReceived(v2("192.0.2.7", command=0x20) + b"x")
    assert inside.peer == "10.0.0.1"


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"PUT /usage HTTP/1.1\r\n",
        b"PROXY TCP4 nonsense 10.0.0.1 1234 80\r\n",
        b"PROXY TCP4 192.0.2.7 10.0.0.1 x y\r\n",
        b"PROXY TCP4 \xff\xff 10.0.0.1 1 2\r\n",
        b"PROXY " + b"x" * 200,
        b"PROXY\r\n",
        V2 + b"\x99" * 20,
        V2[:-1] + b"X" * 20,
    ],
)
def test_whatever_is_no_header_is_not_let_in(data: bytes) -> None:
    protocol, inside, transport = connected()
    protocol.dataReceived(data)
    assert transport.disconnecting
    assert inside.got == b""


def test_nobody_else_is_heard_at_all() -> None:
    assert connected(IPv4Address("TCP", "192.0.2.7", 1)) is None
    assert connected(IPv6Address("TCP", "2001:db8::7", 1)) is None
    assert connected(IPv6Address("TCP", "::ffff:10.0.0.1", 1)) is not None
    assert connected(UNIXAddress(None)) is not None
    assert connected(UNIXAddress(None), trusted=("10.0.0.0/8",)) is None
