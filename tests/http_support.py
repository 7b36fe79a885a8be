"""What the tests of the public port stand on: the real receiver over journals and specimens in memory, and a connection
without a socket whose bytes and time a test has in hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import IResource

from lf6gateway.disk.offload import Offload, inline
from lf6gateway.disk.space import Refusal, Space
from lf6gateway.disk.unavailable import SpoolUnavailable
from lf6gateway.edges.resources import GatewayResource, gateway_resource
from lf6gateway.edges.site import GatewaySite
from lf6gateway.services.receive import Receiver
from lf6gateway.values.entry import Entry
from lf6gateway.values.idempotency import KeyIndex
from lf6gateway.values.limits import Limits
from lf6gateway.values.stream import Stream

CHANNELS: dict[str, Any] = {"now": "auto"}


@pytest.fixture(params=["httptools", "twisted"])
def each_channel(request: pytest.FixtureRequest) -> Iterator[str]:
    """Runs a test over each HTTP channel there is."""
    if request.param == "httptools":
        pytest.importorskip("httptools", reason="httptools is not installed: its channel cannot be tried")
    CHANNELS["now"] = request.param
    yield request.param
    CHANNELS["now"] = "auto"


def site_of(
    resource: IResource, limits: Limits, *, reactor: IReactorTime | None = None, channel: str | None = None
) -> GatewaySite:
    """A site with a channel, or with the one that is being tried."""
    return GatewaySite(resource, limits, reactor=reactor, channel=channel or CHANNELS["now"])  # type: ignore[arg-type]


START_NS = 1_700_000_000_000_000_000


class MemoryJournal:
    """Keeps entries in a list. With ``by_hand`` they are on stable storage when ``flush`` is called."""

    def __init__(self) -> None:
        self.by_hand = False
        self.entries: list[Entry] = []
        self.pending: list[tuple[Entry, Callable[[Exception | None], None]]] = []
        self.failing: SpoolUnavailable | None = None

    @property
    def waiting_bytes(self) -> int:
        return sum(len(entry.lines) for entry, _ in self.pending)

    @property
    def lines(self) -> bytes:
        return b"".join(entry.lines for entry in self.entries)

    def append(self, entry: Entry) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        self.add(entry, lambda error: done.callback(None) if error is None else done.errback(error))
        return done

    def add(self, entry: Entry, told: Callable[[Exception | None], None]) -> None:
        self.pending.append((entry, told))
        if not self.by_hand:
            self.flush()

    def flush(self) -> None:
        pending, self.pending = self.pending, []
        for entry, told in pending:
            if self.failing is None:
                self.entries.append(entry)
            told(self.failing)


@dataclass
class MemoryWriter:
    """A specimen in memory. With ``by_hand`` what is written waits until ``drain`` is called."""

    about: dict[str, Any]
    by_hand: bool
    body: bytearray = field(default_factory=bytearray)
    state: str = "open"
    waiting: int = 0
    most_waiting: int = 0
    failing: SpoolUnavailable | None = None
    _drained: list[Deferred[None]] = field(default_factory=list)
    _committed: Deferred[None] | None = None

    def write(self, data: bytes) -> None:
        assert self.state == "open"
        self.body += data
        if self.by_hand:
            self.waiting += len(data)
            self.most_waiting = max(self.waiting, self.most_waiting)

    def when_drained(self) -> Deferred[None]:
        if not self.waiting and self.failing is None:
            return succeed(None)
        done: Deferred[None] = Deferred()
        self._drained.append(done)
        return done

    def drain(self) -> None:
        self.waiting = 0
        waiting, self._drained = self._drained, []
        for done in waiting:
            if self.failing is not None:
                done.errback(self.failing)
            else:
                done.callback(None)
        if self._committed is not None:
            self.state, done, self._committed = "committed", self._committed, None
            done.callback(None)

    def commit(self) -> Deferred[None]:
        done: Deferred[None] = Deferred()
        if self.failing is not None:
            done.errback(self.failing)
        elif self.by_hand:
            self._committed = done
        else:
            self.state = "committed"
            done.callback(None)
        return done

    def abort(self) -> Deferred[None]:
        self.state = "aborted"
        self.body.clear()
        return succeed(None)


class MemorySpecimens:
    """Specimens in a list."""

    def __init__(self) -> None:
        self.by_hand = False
        self.begun: list[MemoryWriter] = []

    def begin(self, **about: Any) -> MemoryWriter:
        self.begun.append(MemoryWriter(about, self.by_hand))
        return self.begun[-1]

    @property
    def kept(self) -> list[MemoryWriter]:
        return [writer for writer in self.begun if writer.state == "committed"]


class HandSpace(Space):
    """The real one, which can be told to refuse."""

    forced: Refusal | None = None

    def refusal(self, incoming: int) -> Refusal | None:
        return self.forced or super().refusal(incoming)


class Backend:
    """A receiver and all that is behind it."""

    def __init__(self, *, max_waiting: int = 64 << 20, max_bytes: int = 1 << 40, max_keys: int = 1_000) -> None:
        self.now_ns = START_NS
        self.usage = MemoryJournal()
        self.error = MemoryJournal()
        self.specimens = MemorySpecimens()
        self.space = HandSpace(max_bytes, 0, 0, monotonic=lambda: 0.0)
        self.keys = KeyIndex(max_keys)
        self.receiver = Receiver(
            journals={Stream.USAGE: self.usage, Stream.ERROR: self.error},
            specimens=self.specimens,
            space=self.space,
            keys=self.keys,
            max_waiting=max_waiting,
            now_ns=lambda: self.now_ns,
        )
        self.receiver.open()
        self.receiver.keys_loaded()


@dataclass(frozen=True)
class Reply:
    """One answer as it came over the wire."""

    status: int
    headers: dict[str, list[str]]
    body: bytes

    def header(self, name: str) -> str | None:
        values = self.headers.get(name.lower())
        assert values is None or len(values) == 1, f"{name} came {len(values or ())} times"
        return None if values is None else values[0]

    @property
    def problem(self) -> dict[str, Any]:
        assert self.header("content-type") == "application/problem+json", self
        found: dict[str, Any] = json.loads(self.body)
        assert found["status"] == self.status
        assert found["type"].startswith("urn:lf6gateway:problem:")
        assert found["title"] and found["detail"]
        assert found["request_id"] == self.header("x-request-id")
        return found


def read_replies(data: bytes, *, heads_only: bool = False) -> tuple[list[Reply], bytes]:
    """The answers in ``data``, and what is behind the last whole one."""
    replies = []
    while b"\r\n\r\n" in data:
        head, _, rest = data.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        version, status, _ = status_line.split(" ", 2)
        assert version in ("HTTP/1.1", "HTTP/1.0")
        headers: dict[str, list[str]] = {}
        for line in lines:
            name, _, value = line.partition(": ")
            headers.setdefault(name.lower(), []).append(value)
        length = 0 if heads_only else int(headers.get("content-length", ["0"])[0])
        assert "transfer-encoding" not in headers
        if len(rest) < length:
            break
        replies.append(Reply(int(status), headers, rest[:length]))
        data = rest[length:]
    return replies, data


class Transport(StringTransport):
    """A transport that closes when it is told to, as a socket does that has nothing left to send."""

    protocol: Any = None

    def loseConnection(self) -> None:
        if not self.disconnecting:
            super().loseConnection()
            self._clock.callLater(0, self._closed)

    def abortConnection(self) -> None:
        self.disconnected = True
        self.loseConnection()

    def __init__(self, clock: Clock) -> None:
        super().__init__(hostAddress=None, peerAddress=IPv4Address("TCP", "192.0.2.7", 4711))
        self._clock = clock

    def _closed(self) -> None:
        if self.protocol is not None:
            protocol, self.protocol = self.protocol, None
            protocol.connectionLost(Failure(ConnectionDone()))


class Connection:
    """One connection to a site."""

    def __init__(self, site: GatewaySite, clock: Clock, transport: Transport | None = None) -> None:
        self._clock = clock
        self.transport = transport or Transport(clock)
        self.channel = site.buildProtocol(None)
        self.transport.protocol = self.channel
        self.channel.makeConnection(self.transport)

    def send(self, data: bytes, *, cut: int | None = None) -> None:
        """Some bytes from the client, all at once or in pieces of ``cut`` bytes."""
        size = cut or max(1, len(data))
        for at in range(0, len(data), size):
            if self.transport.protocol is None:
                return
            self.channel.dataReceived(data[at : at + size])
        self._clock.advance(0)
        while any(call.getTime() <= self._clock.seconds() for call in self._clock.getDelayedCalls()):
            self._clock.advance(0)

    def hang_up(self) -> None:
        """The client goes away."""
        self.transport._closed()

    @property
    def open(self) -> bool:
        return self.transport.protocol is not None

    @property
    def paused(self) -> bool:
        return bool(self.transport.producerState == "paused")

    @property
    def raw(self) -> bytes:
        return bytes(self.transport.value())

    def replies(self) -> list[Reply]:
        """All answers since the last time."""
        replies, rest = read_replies(self.raw)
        assert not rest, rest
        self.transport.clear()
        return replies

    def reply(self) -> Reply:
        """The one answer since the last time."""
        [found] = self.replies()
        return found


class Gateway:
    """A site over a receiver in memory, with a clock in hand."""

    def __init__(
        self,
        limits: Limits | None = None,
        offload: Offload = inline,
        backend: Backend | None = None,
        channel: str | None = None,
        **identify: Any,
    ) -> None:
        self.clock = Clock()
        self.limits = limits or Limits()
        self.backend = backend or Backend()
        self.resource: GatewayResource = gateway_resource(self.backend.receiver, self.limits, offload, **identify)
        self.site = site_of(self.resource, self.limits, reactor=self.clock, channel=channel)

    def connect(self) -> Connection:
        return Connection(self.site, self.clock)

    def ask(self, data: bytes, *, cut: int | None = None) -> Reply:
        """The answer to one request on a connection of its own."""
        connection = self.connect()
        connection.send(data, cut=cut)
        return connection.reply()


def request(
    method: str,
    target: str,
    body: bytes | None = None,
    *headers: str,
    user: str | None = "alice",
    version: str = "HTTP/1.1",
) -> bytes:
    """A request as bytes; with a body, also with its length."""
    lines = [f"{method} {target} {version}", "Host: gateway"]
    if user is not None:
        lines.append(f"User-Token: {user}")
    lines += headers
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")


def chunked(method: str, target: str, chunks: list[bytes], *headers: str, user: str = "alice") -> bytes:
    """A request whose body comes in chunks."""
    head = request(method, target, None, "Transfer-Encoding: chunked", *headers, user=user)
    return head + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in [*chunks, b""])


class HandOffload:
    """Runs work when told to."""

    def __init__(self) -> None:
        self.jobs: list[Callable[[], None]] = []

    def __call__(self, work: Callable[[], Any], /) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()

        def run() -> None:
            try:
                result = work()
            except BaseException:
                done.errback(Failure())
            else:
                done.callback(result)

        self.jobs.append(run)
        return done

    def run(self) -> int:
        """Run all there is, and what comes of it; how many jobs that were."""
        count = 0
        while self.jobs:
            self.jobs.pop(0)()
            count += 1
        return count
