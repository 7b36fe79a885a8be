"""An S3 server that plays what a test writes down, byte by byte, and the gateway's own side of the line to it."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
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
from lf6gateway.stores.memory import ABLE
from lf6gateway.stores.s3 import S3Store
from lf6gateway.stores.signing import Keys
from lf6gateway.stores.store import Body, Slice
from lf6gateway.values.failure import StoreError

MIB = 1024 * 1024
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
            while data := self.socket.recv(65536):
                self.server.taken += len(data)
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
    taken: int = 0
    """Bytes that came after the request, while the end was awaited."""
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
    store._found = ABLE
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


BEGUN = answer(200, b"<InitiateMultipartUploadResult><UploadId>up+/=</UploadId></InitiateMultipartUploadResult>")
PART = answer(200, ETag='"part"')
ABORTED = answer(204)
COMPLETED = answer(200, b'<CompleteMultipartUploadResult><ETag>"whole"</ETag></CompleteMultipartUploadResult>')


def steps(server: Server) -> list[str]:
    """The requests that came, by method and the first word of the query."""
    return [f"{request.method} {request.target.partition('?')[2].partition('=')[0]}" for request in server.requests]


@pytest.fixture(name="server")
def scripted_server() -> Iterator[Server]:
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
