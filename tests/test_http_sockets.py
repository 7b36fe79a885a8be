"""The public port over real sockets, spoken to by plain blocking clients in threads."""

from __future__ import annotations

import http.client
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import SSL4ServerEndpoint, TCP4ServerEndpoint
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.threads import deferToThread, deferToThreadPool
from twisted.python.threadpool import ThreadPool

from lf6gateway.disk.offload import Offload, inline
from lf6gateway.edges.resources import gateway_resource
from lf6gateway.edges.site import GatewaySite
from lf6gateway.values.limits import Limits
from tests.http_support import Backend, MemorySpecimens, MemoryWriter, each_channel, read_replies, request, site_of

pytestmark = pytest.mark.usefixtures("each_channel")
__all__ = ["each_channel"]

T = TypeVar("T")
EXPECT = "Expect: 100-continue"


class Running:
    """A gateway on a port of the loopback interface."""

    def __init__(self, backend: Backend, site: GatewaySite, port: int) -> None:
        self.backend = backend
        self.site = site
        self.port = port

    def socket(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def client(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)


@asynccontextmanager
async def running(limits: Limits | None = None, backend: Backend | None = None) -> AsyncIterator[Running]:
    pool = ThreadPool(minthreads=1, maxthreads=2, name="decode")
    pool.start()

    def offload(work: Callable[[], Any], /) -> Deferred[Any]:
        return deferToThreadPool(reactor, pool, work)

    kept: Offload = offload
    backend = backend or Backend()
    limits = limits or Limits()
    site = site_of(gateway_resource(backend.receiver, limits, kept), limits)
    port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(site)
    try:
        yield Running(backend, site, port.getHost().port)
    finally:
        await port.stopListening()
        await site.drain()
        pool.stop()


def in_thread(work: Callable[[], T]) -> Deferred[T]:
    return deferToThread(work)


def everything(connection: socket.socket) -> bytes:
    """All that comes until the other side closes."""
    found = b""
    while data := connection.recv(65_536):
        found += data
    return found


@pytest_twisted.ensureDeferred
async def test_a_client_of_the_standard_library_is_served() -> None:
    async with running() as gateway:

        def talk() -> list[tuple[int, str | None, bytes]]:
            client = gateway.client()
            answers = []
            for method, path, body in (
                ("PUT", "/usage", b'{"a":1}'),
                ("POST", "/error", iter([b"[1", b",2]"])),
                ("PUT", "/specimen?uri=a", iter([b"x" * 100_000] * 30)),
                ("GET", "/health", None),
                ("PUT", "/usage", b"{"),
                ("GET", "/ready", None),
            ):
                client.request(method, path, body, {"USER_TOKEN": "alice"})
                answer = client.getresponse()
                answers.append((answer.status, answer.getheader("content-type"), answer.read()))
            client.close()
            return answers

        answers = await in_thread(talk)
        assert [status for status, _, _ in answers] == [204, 204, 204, 200, 400, 200]
        assert answers[4][1] == "application/problem+json"
        assert len(gateway.backend.specimens.kept[0].body) == 3_000_000
        assert gateway.site.connections <= 1


@pytest_twisted.ensureDeferred
async def test_a_client_that_sends_all_of_a_refused_body_first_gets_to_see_the_answer() -> None:
    async with running(Limits(max_specimen=1_000_000)) as gateway:

        def talk() -> list[int]:
            statuses = []
            for path, headers in (("/specimen?uri=a", {"User-Token": "a"}), ("/usage", {}), ("/nothing", {})):
                client = gateway.client()
                # This client does not look for an answer before it has sent everything.
                client.request("PUT", path, b"x" * 20_000_000, headers)
                statuses.append(client.getresponse().status)
                client.close()
            return statuses

        assert await in_thread(talk) == [413, 401, 404]


@pytest_twisted.ensureDeferred
async def test_a_client_that_waits_for_a_continue_is_told_413_and_need_not_send() -> None:
    async with running() as gateway:

        def talk() -> bytes:
            with gateway.socket() as connection:
                connection.sendall(request("PUT", "/usage", None, "Content-Length: 999999999", EXPECT))
                return everything(connection)

        [reply], rest = read_replies(await in_thread(talk))
        assert (reply.status, reply.problem["status"], reply.header("connection"), rest) == (413, 413, "close", b"")


@pytest_twisted.ensureDeferred
async def test_a_malformed_request_is_answered_and_the_connection_closed() -> None:
    async with running() as gateway:

        def talk() -> bytes:
            with gateway.socket() as connection:
                connection.sendall(b"what is this\r\n\r\n" + b"x" * 300_000)
                return everything(connection)

        [reply], _ = read_replies(await in_thread(talk))
        assert reply.problem["status"] == 400


@pytest_twisted.ensureDeferred
async def test_slow_heads_and_bodies_get_408_and_idle_connections_a_quiet_end() -> None:
    async with running(Limits(header_timeout=0.2, body_timeout=0.2, idle_timeout=0.2, linger=0.5)) as gateway:

        def talk(data: bytes) -> bytes:
            with gateway.socket() as connection:
                connection.sendall(data)
                return everything(connection)

        assert await in_thread(lambda: talk(b"")) == b""
        for data in (b"GET /hea", request("PUT", "/usage", b"123")[:-1]):
            [reply], _ = read_replies(await in_thread(lambda data=data: talk(data)))
            assert reply.problem["status"] == 408


def own_certificate() -> PrivateCertificate:
    """A key and a certificate that vouches for itself."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM)
    return PrivateCertificate.loadPEM(pem)


@pytest_twisted.ensureDeferred
async def test_over_tls_all_is_the_same() -> None:
    backend = Backend()
    limits = Limits(linger=0.5, max_specimen=10_000_000)
    site = site_of(gateway_resource(backend.receiver, limits, inline), limits)
    endpoint = SSL4ServerEndpoint(reactor, 0, own_certificate().options(), interface="127.0.0.1")
    port = await endpoint.listen(site)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])

    def talk() -> list[int]:
        statuses = []
        client = http.client.HTTPSConnection("127.0.0.1", port.getHost().port, timeout=30, context=context)
        for method, path, body in (
            ("PUT", "/usage", b"1"),
            ("PUT", "/specimen?uri=a", b"x" * 5_000_000),
            ("GET", "/health", None),
            ("PUT", "/specimen?uri=a", b"x" * 11_000_000),
        ):
            client.request(method, path, body, {"User-Token": "a"})
            answer = client.getresponse()
            answer.read()
            statuses.append(answer.status)
        client.close()
        return statuses

    try:
        assert await in_thread(talk) == [204, 204, 200, 413]
    finally:
        await port.stopListening()
        await site.drain()
    assert len(backend.specimens.kept[0].body) == 5_000_000


class Discarded(MemoryWriter):
    """Passes what it gets on to nowhere, after a turn of the reactor, as a disk would take a while."""

    def write(self, data: bytes) -> None:
        self.waiting += len(data)
        self.most_waiting = max(self.waiting, self.most_waiting)
        self.about["size"] = self.about.get("size", 0) + len(data)
        reactor.callLater(0.001, self._done, len(data))  # type: ignore[attr-defined]

    def _done(self, size: int) -> None:
        self.waiting -= size
        if not self.waiting:
            self.drain()


class Discarding(MemorySpecimens):
    def begin(self, **about: Any) -> MemoryWriter:
        self.begun.append(Discarded(about, by_hand=False))
        return self.begun[-1]


@pytest_twisted.ensureDeferred
async def test_a_specimen_of_100_mb_takes_no_memory_to_speak_of() -> None:
    backend = Backend()
    backend.receiver._specimens = backend.specimens = Discarding()
    size = 100 * 1024 * 1024

    def body() -> Iterator[bytes]:
        piece = b"x" * 65_536
        for _ in range(size // len(piece)):
            yield piece

    async with running(backend=backend) as gateway:

        def talk() -> int:
            client = gateway.client()
            client.request("PUT", "/specimen?uri=a", body(), {"User-Token": "a", "Content-Length": str(size)})
            status = client.getresponse().status
            client.close()
            return status

        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert await in_thread(talk) == 204
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    [writer] = backend.specimens.begun
    assert writer.about["size"] == size
    assert writer.most_waiting <= 1024 * 1024 + 2 * 65_536
    assert grown < 32 * 1024, f"{grown} KiB more than before"


@pytest_twisted.ensureDeferred
async def test_uploads_that_are_broken_off_are_forgotten() -> None:
    async with running() as gateway:
        gone = [Deferred[None]() for _ in range(20)]
        writers = gateway.backend.specimens

        def talk() -> None:
            for _ in gone:
                with gateway.socket() as connection:
                    connection.sendall(request("PUT", "/specimen?uri=a", bytes(100_000))[:-1])
                    # Closing with nothing read and everything sent: the other side sees a plain end.

        await in_thread(talk)
        while gateway.site.connections:
            pause: Deferred[None] = Deferred()
            reactor.callLater(0.01, pause.callback, None)  # type: ignore[attr-defined]
            await pause
        assert {writer.state for writer in writers.begun} <= {"aborted"}
        assert writers.kept == []


@pytest_twisted.ensureDeferred
async def test_requests_under_way_are_answered_before_the_port_is_gone() -> None:
    async with running() as gateway:
        gateway.backend.usage.by_hand = True

        def talk() -> bytes:
            with gateway.socket() as connection:
                connection.sendall(request("PUT", "/usage", b"1"))
                return everything(connection)

        answer = in_thread(talk)
        while not gateway.backend.usage.pending:
            pause: Deferred[None] = Deferred()
            reactor.callLater(0.01, pause.callback, None)  # type: ignore[attr-defined]
            await pause
        drained = gateway.site.drain()
        assert not drained.called
        gateway.backend.usage.flush()
        [reply], _ = read_replies(await answer)
        assert (reply.status, reply.header("connection")) == (204, "close")
        await drained
