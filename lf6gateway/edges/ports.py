"""The listening sockets of the public port, bound before the process forks or gives up its privileges, so that a taken
port ends the start in one plain line. Owns sockets until the reactor adopts them; must never accept a connection."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from attrs import define
from twisted.internet import tcp
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import AdoptedStreamServerEndpoint, serverFromString
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IListeningPort,
    IProtocolFactory,
    IReactorSocket,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from zope.interface import implementer

_log = Logger()

REST: Final = 0.1
"""Seconds without accepting after an attempt that accepted nothing."""
PATIENCE: Final = 8
"""Attempts in vain, one behind the other, after which a shared socket is let rest."""
BURST: Final = 16
"""Connections that are accepted in one turn of the reactor: a socket that is turned away is closed in the next turn
only, and a whole backlog of them would take the descriptors that are not the connections'."""
BACKLOG = 4096
"""Connections the kernel keeps waiting; while a busy daemon restarts under socket activation they queue here."""


class PortTaken(Exception):
    """An address cannot be listened on; the text says which, why, and what to do."""


@define
class Bound:
    """One bound socket, not yet adopted by a reactor; ``inherited``: somebody else keeps it open, for who comes after
    us."""

    socket: socket.socket
    family: int
    inherited: bool = False

    @property
    def port(self) -> int:
        """The number of the port that was given."""
        return int(self.socket.getsockname()[1])

    @property
    def address(self) -> IAddress:
        """Where it listens."""
        name = self.socket.getsockname()
        return IPv6Address("TCP", *name) if self.family == socket.AF_INET6 else IPv4Address("TCP", *name)

    def endpoint(self, reactor: IReactorSocket) -> IStreamServerEndpoint:
        """The endpoint that listens on this socket; it can be used once."""
        return AdoptedStreamServerEndpoint(reactor, self.socket.fileno(), self.family)


def bind_port(port: int) -> Bound:
    """Listen on a TCP port of all interfaces, IPv4 and IPv6 alike (IPv4 alone where there is no IPv6); 0: a free one.

    :raises PortTaken: the port is in use, or may not be used by this user.
    """
    try:
        return _bind(socket.AF_INET6, "::", port)
    except OSError as error:
        if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            raise _refused(port, error) from error
    try:
        return _bind(socket.AF_INET, "0.0.0.0", port)  # noqa: S104 - as -p is documented
    except OSError as error:
        raise _refused(port, error) from error


def bind_address(host: str, port: int, key: str) -> Bound:
    """Listen on a TCP port of one address; 0: a free one. Blocks where the host is a name.

    :param key: what of the configuration says so.
    :raises PortTaken: it cannot be listened on.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return _bind(found[0][0], host, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            why = f"is taken by another program (ss -ltnp 'sport = :{port}' names it); choose another port, or off"
        else:
            why = f"cannot be listened on: {error.strerror}"
        raise PortTaken(f"{key}: {host}:{port} {why}") from error


def _bind(family: int, host: str, port: int) -> Bound:
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listening.bind((host, port))
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError:
        listening.close()
        raise
    return Bound(listening, family)


def _refused(port: int, error: OSError) -> PortTaken:
    if error.errno == errno.EADDRINUSE:
        return PortTaken(
            f"port {port} is taken by another program; stop that one (ss -ltnp 'sport = :{port}' names it) "
            "or choose another port with -p"
        )
    if error.errno == errno.EACCES:
        return PortTaken(
            f"port {port} may not be used by this user; choose one above 1023 with -p, or start as root with "
            "twistd's --uid and --gid"
        )
    return PortTaken(f"port {port} cannot be listened on: {error.strerror}")


@implementer(IListeningPort)
class RestingPort:
    """A port that accepts a few connections in a turn, and no more for a moment where it could not accept: with no
    descriptor left, the kernel would tell of the same connection again and again, and Twisted try it as often.

    :param port: Twisted's.
    :param kept: it is never closed but only accepted from no more: who connects waits in the kernel for the next
        process. (Closing one would remove the name of a Unix socket, too.)
    :param shared: other processes accept from the same socket. One connection is taken in a turn then, so that they
        share a burst of them; and an attempt in vain means more often than not that another one was quicker.
    """

    def __init__(self, port: Any, clock: IReactorTime, *, kept: bool = False, shared: bool = False) -> None:
        self._port = port
        self._clock = clock
        self._kept = kept
        self._shared = shared
        self._in_vain = 0
        self._rest: IDelayedCall | None = None
        self._accept = port.doRead
        port.doRead = self._accept_or_rest

    def _accept_or_rest(self) -> object:
        before = self._port.sessionno
        self._port.numberAccepts = 1 if self._shared else min(self._port.numberAccepts, BURST)
        outcome: object = self._accept()
        self._in_vain = self._in_vain + 1 if self._port.sessionno == before else 0
        if self._in_vain >= (PATIENCE if self._shared else 1) and self._rest is None:
            self._in_vain = 0
            self._port.stopReading()
            self._rest = self._clock.callLater(REST, self._rested)
        return outcome

    def _rested(self) -> None:
        self._rest = None
        self._port.startReading()

    def startListening(self) -> None:
        self._port.startListening()

    def stopListening(self) -> Deferred[None] | None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        if self._kept:
            self._port.stopReading()
            return None
        stopped: Deferred[None] | None = self._port.stopListening()
        return stopped

    def getHost(self) -> IAddress:
        host: IAddress = self._port.getHost()
        return host


def _resting(port: IListeningPort, clock: IReactorTime, *, kept: bool) -> IListeningPort:
    return RestingPort(port, clock, kept=kept) if isinstance(port, tcp.Port) else port


async def listen(
    reactor: IReactorSocket,
    factory: IProtocolFactory,
    bound: Sequence[Bound],
    strings: Sequence[str],
    around: Callable[[str, IProtocolFactory], IProtocolFactory] = lambda kind, factory: factory,
) -> list[IListeningPort]:
    """Accept connections for a factory on bound sockets and on Twisted endpoint strings.

    :param around: what stands around the factory on an endpoint of a kind (``tcp``, ``unix``, ...): TLS, for instance.

    :raises PortTaken: an endpoint string cannot be listened on; what was opened before it is closed again.
    """
    ports: list[IListeningPort] = []
    clock = IReactorTime(reactor)
    try:
        for one in bound:
            port = await one.endpoint(reactor).listen(around("tcp", factory))
            ports.append(_resting(port, clock, kept=one.inherited))
            one.socket.detach()  # the reactor has a duplicate, and has closed this one
        for text in strings:
            try:
                wrapped = around(text.partition(":")[0], factory)
                ports.append(_resting(await serverFromString(reactor, text).listen(wrapped), clock, kept=False))
            except Exception as error:
                raise _not_listening(text, error) from error
    except BaseException:
        for port in ports:
            port.stopListening()
        raise
    return ports


def tell(addresses: Iterable[object]) -> None:
    """Say where connections are taken."""
    for address in addresses:
        _log.info("listening on {address}", address=str(address))


async def hold(reactor: IReactorSocket, strings: Sequence[str]) -> list[Any]:
    """Listen on Twisted endpoint strings without accepting: that is for the workers, which get the descriptors.

    :raises PortTaken: as ``listen``.
    """
    ports: list[Any] = []
    for text in strings:
        try:
            port: Any = await serverFromString(reactor, text).listen(Factory())
        except Exception as error:
            for other in ports:
                other.stopListening()
            raise _not_listening(text, error) from error
        port.stopReading()
        ports.append(port)
    return ports


def _not_listening(text: str, error: Exception) -> PortTaken:
    return PortTaken(f"http.listen: {text} cannot be listened on: {error}")


def plain_host(address: Any) -> str:
    """An address as people write it: ``127.0.0.1:8080``, ``[::]:8080``, or the path of a Unix socket."""
    host, port = getattr(address, "host", None), getattr(address, "port", None)
    if host is None:
        name = getattr(address, "name", None)
        return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(address)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
