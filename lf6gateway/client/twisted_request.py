"""One request of the Twisted client, by treq. Owns its body on the way to the socket, its deadline and whom it trusts;
must never decide what an answer means, nor read a file in the reactor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, BinaryIO, Final, TypeVar

import treq
from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IDelayedCall, IOpenSSLClientConnectionCreator
from twisted.internet.ssl import (
    Certificate,
    KeyPair,
    PrivateCertificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.iweb import IAgent, IBodyProducer, IPolicyForHTTPS
from zope.interface import implementer

from lf6gateway.client.answers import Answer
from lf6gateway.client.options import Options
from lf6gateway.client.parts import Request
from lf6gateway.client.target import Target

T = TypeVar("T")

_PIECE: Final = 64 * 1024
_MOST_BODY: Final = 64 * 1024


class Sender:
    """Sends requests to one gateway.

    :param agent: sends them; one by ``options`` if ``None``.
    :param disk: where files are read.
    :raises OSError: a certificate cannot be read.
    """

    def __init__(self, target: Target, options: Options, agent: IAgent | None, disk: ThreadPool, reactor: Any) -> None:
        self._url = target.url
        self._silence = options.timeout
        self._disk = disk
        self._reactor = reactor
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = 1
        self._pool.cachedConnectionTimeout = 30
        self._http = HTTPClient(
            agent or Agent(reactor, _Trust(options), connectTimeout=options.timeout, pool=self._pool)
        )

    def send(self, request: Request) -> Deferred[Answer]:
        """Send a request; fires with its answer, fails with what kept it from coming."""
        return Deferred.fromCoroutine(self._answer(request))

    def close(self) -> Deferred[None]:
        """Keep no connection."""
        return self._pool.closeCachedConnections()  # type: ignore[no-any-return]

    async def _answer(self, request: Request) -> Answer:
        # The deadline is for silence: a large specimen may take long, as long as it goes on.
        silence = _Silence(self._reactor, self._silence)
        body: bytes | _Producer
        if isinstance(request.body, bytes):
            body = request.body
        else:
            body = _Producer(request.body, request.length, self._disk, self._reactor, silence.reset)
        fields: dict[bytes | str, list[bytes | str]] = {name: [value] for name, value in request.fields.items()}
        chunks: list[bytes] = []

        def some(chunk: bytes) -> None:
            silence.reset()
            if sum(map(len, chunks)) < _MOST_BODY:
                chunks.append(chunk)

        try:
            response = await silence.over(
                self._http.request(
                    "PUT",
                    self._url + request.path,
                    headers=fields,
                    data=body,
                    unbuffered=True,
                    allow_redirects=False,
                )
            )
            await silence.over(treq.collect(response, some))
        finally:
            silence.end()
        headers = {
            name.decode("ascii", "replace").lower(): values[0].decode("latin-1")
            for name, values in response.headers.getAllRawHeaders()
        }
        return Answer(response.code, headers, b"".join(chunks))


class _Silence:
    """Cancels what is waited for when nothing has moved for a while."""

    def __init__(self, reactor: Any, seconds: float) -> None:
        self._seconds = seconds
        self._waited: Deferred[Any] | None = None
        self._call: IDelayedCall = reactor.callLater(seconds, self._cut)

    def over(self, work: Deferred[T]) -> Deferred[T]:
        """Wait for this from now on."""
        self._waited = work
        return work

    def reset(self) -> None:
        """Something has moved."""
        if self._call.active():
            self._call.reset(self._seconds)

    def end(self) -> None:
        """Wait for nothing more."""
        if self._call.active():
            self._call.cancel()

    def _cut(self) -> None:
        if self._waited is not None:
            self._waited.cancel()


@implementer(IBodyProducer)
class _Producer:
    """The bytes of a specimen, read a piece at a time in a thread, at the pace of the socket."""

    def __init__(
        self, file: BinaryIO, length: int, pool: ThreadPool, reactor: Any, progress: Callable[[], None]
    ) -> None:
        self.length = length
        self._progress = progress
        self._file = file
        self._pool = pool
        self._reactor = reactor
        self._stopped = False
        self._resumed: Deferred[None] | None = None

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        return Deferred.fromCoroutine(self._produce(consumer))

    async def _produce(self, consumer: IConsumer) -> None:
        left = self.length
        while left and not self._stopped:
            piece = await deferToThreadPool(self._reactor, self._pool, self._file.read, min(_PIECE, left))
            if not piece:
                raise OSError("the queue's file is shorter than it was")
            if self._over():  # meanwhile
                break
            left -= len(piece)
            self._progress()
            consumer.write(piece)
            if self._resumed is not None:
                await self._resumed

    def _over(self) -> bool:
        return self._stopped

    def pauseProducing(self) -> None:
        if self._resumed is None:
            self._resumed = Deferred()

    def resumeProducing(self) -> None:
        resumed, self._resumed = self._resumed, None
        if resumed is not None:
            resumed.callback(None)

    def stopProducing(self) -> None:
        self._stopped = True
        self.resumeProducing()


@implementer(IPolicyForHTTPS)
class _Trust:
    """Whom the gateway's certificate must be from, and which one is shown to it."""

    def __init__(self, options: Options) -> None:
        self._roots = None if options.ca_file is None else trustRootFromCertificates(_certificates(options.ca_file))
        self._own: PrivateCertificate | None = None
        if options.certificate is not None:
            with open(options.certificate, "rb") as file:
                certificate = file.read()
            with open(options.key or options.certificate, "rb") as file:
                key = KeyPair.load(file.read(), 1)
            self._own = PrivateCertificate.fromCertificateAndKeyPair(Certificate.loadPEM(certificate), key)

    def creatorForNetloc(self, hostname: bytes, port: int) -> IOpenSSLClientConnectionCreator:
        return optionsForClientTLS(hostname.decode("ascii"), trustRoot=self._roots, clientCertificate=self._own)


def _certificates(path: str) -> list[Certificate]:
    with open(path, "rb") as file:
        parts = file.read().split(b"-----END CERTIFICATE-----")
    end = b"-----END CERTIFICATE-----\n"
    found = [Certificate.loadPEM(part + end) for part in parts if b"-----BEGIN CERTIFICATE-----" in part]
    if not found:
        raise OSError(f"{path} holds no certificate")
    return found
