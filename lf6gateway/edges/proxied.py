"""Connections that begin with a header of the PROXY protocol, version 1 or 2, by Twisted's own reader of it. Owns that
only a trusted proxy may send one, and that each must; must never believe anybody else."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from twisted.internet.interfaces import IAddress, IProtocolFactory
from twisted.logger import Logger
from twisted.protocols.haproxy._exceptions import InvalidProxyHeader
from twisted.protocols.haproxy._v1parser import V1Parser
from twisted.protocols.haproxy._v2parser import V2Parser
from twisted.protocols.haproxy._wrapper import HAProxyProtocolWrapper, HAProxyWrappingFactory

from lf6gateway.values.networks import Networks, plain_address

_log = Logger()

_SHORTEST = 16
"""Bytes that a header has at least, but for one of version 1 that says nothing."""


class ProxiedProtocol(HAProxyProtocolWrapper):
    """One connection from a proxy, until its header is read, and what is inside from then on."""

    _first = b""

    def dataReceived(self, data: bytes) -> None:
        """Some bytes; the header may come in pieces."""
        if self._proxyInfo is None and self._parser is None:
            data = self._first + data
            if len(data) < _SHORTEST and _may_become_one(data):
                self._first = data
                return
            self._first = b""
            if data.startswith(V2Parser.PREFIX) and len(data) >= _SHORTEST and data[12] >> 4 == 2:
                self._parser = _Strict(V2Parser())  # type: ignore[assignment]
            elif data.startswith(V1Parser.PROXYSTR):
                self._parser = _Strict(V1Parser())  # type: ignore[assignment]
            else:
                _log.debug("a connection from {peer} does not begin with a PROXY header", peer=str(self.getPeer()))
                self.loseConnection()
                return
        super().dataReceived(data)


def _may_become_one(data: bytes) -> bool:
    if V1Parser.PROXYSTR.startswith(data[:5]):
        return not data.endswith(V1Parser.NEWLINE)
    return V2Parser.PREFIX.startswith(data[:12])


class _Strict:
    """A reader of headers for which whatever is not right is one and the same mistake."""

    def __init__(self, parser: Any) -> None:
        self._parser = parser

    def feed(self, data: bytes) -> Any:
        try:
            info, rest = self._parser.feed(data)
            if info is not None and info.source is not None and hasattr(info.source, "host"):
                ip_address(info.source.host)
        except InvalidProxyHeader:
            raise
        except Exception as error:
            raise InvalidProxyHeader from error
        return info, rest


class ProxiedFactory(HAProxyWrappingFactory):
    """Takes connections from trusted proxies alone.

    :param trusted: the proxies that are trusted now.
    """

    protocol = ProxiedProtocol  # type: ignore[assignment]
    noisy = False

    def __init__(self, factory: IProtocolFactory, trusted: Callable[[], Networks]) -> None:
        super().__init__(factory)
        self._trusted = trusted
        self.refused = 0

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A connection; ``None``, so that it is closed at once, if it comes from elsewhere."""
        peer = plain_address(str(getattr(addr, "host", "")))
        if self._trusted().holds(peer):
            return super().buildProtocol(addr)
        self.refused += 1
        if self.refused & (self.refused - 1) == 0:  # the first, second, fourth, eighth …
            _log.warn(
                "a connection from {peer} was closed, as http.proxy_protocol is on and http.trusted_proxies does not "
                "have it ({count} so far)",
                peer=peer,
                count=self.refused,
            )
        return None
