"""One signed request to S3 and its answer, carried by treq. Owns deadlines, signatures and the reading of answers; must
never know what a request is for."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from attrs import frozen
from hyperlink import EncodedURL
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import (
    ConnectError,
    DNSLookupError,
    NoRouteError,
    TCPTimedOutError,
)
from twisted.internet.error import (
    ConnectionRefusedError as RefusedError,
)
from twisted.internet.interfaces import ITransport
from twisted.internet.protocol import Protocol as BodyProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.client import PartialDownloadError, ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers

from lf6gateway.disk.offload import Offload
from lf6gateway.stores.credentials import CredentialSource
from lf6gateway.stores.producer import SliceProducer
from lf6gateway.stores.s3_errors import LONGEST, classify
from lf6gateway.stores.signing import EMPTY_SHA256, encode_key, encode_query, sign
from lf6gateway.stores.store import Body
from lf6gateway.values.failure import Kind, StoreError

SLOWEST: Final = 128 * 1024
"""Bytes a second; the deadline of a request grows by what its body takes at this pace."""
_AHEAD: Final = 1 << 20

_NEVER_SENT = (RefusedError, DNSLookupError, NoRouteError, TCPTimedOutError, ConnectError)


@frozen
class Answer:
    """A success: status, headers with lower-case names, and the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@frozen
class Bucket:
    """Where a bucket is found.

    :param base: URL of the bucket without a slash at its end.
    """

    name: str
    base: str
    region: str


def bucket_at(name: str, region: str, endpoint: str | None) -> Bucket:
    """Path-style with an endpoint; else AWS's virtual-host style, but path-style for a name with dots, which no
    wildcard certificate covers. https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html"""
    if endpoint is not None:
        return Bucket(name, f"{endpoint.rstrip('/')}/{name}", region)
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    if "." in name:
        return Bucket(name, f"https://s3.{region}.{domain}/{name}", region)
    return Bucket(name, f"https://{name}.s3.{region}.{domain}", region)


class Requests(Protocol):
    """What sends requests about one bucket (``S3Http``)."""

    bucket: Bucket

    async def request(
        self,
        method: str,
        key: str,
        *,
        action: str,
        query: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        data: bytes | None = None,
        sha256: str = EMPTY_SHA256,
        patience: float = 1.0,
    ) -> Answer:
        """See ``S3Http``."""

    def stream(self, key: str, headers: Mapping[str, str]) -> AsyncIterator[bytes]:
        """See ``S3Http``."""


class S3Http:
    """Sends requests about one bucket.

    :param timeout_s: the deadline of a request without a body.
    """

    def __init__(
        self,
        *,
        client: HTTPClient,
        bucket: Bucket,
        credentials: CredentialSource,
        offload: Offload,
        clock: Any,
        timeout_s: float,
    ) -> None:
        self.bucket = bucket
        self._client = client
        self._credentials = credentials
        self._offload = offload
        self._clock = clock
        self._timeout_s = timeout_s

    async def request(
        self,
        method: str,
        key: str,
        *,
        action: str,
        query: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
        data: bytes | None = None,
        sha256: str = EMPTY_SHA256,
        patience: float = 1.0,
    ) -> Answer:
        """Send one request; a success is returned, all else raised.

        :param action: the IAM action it needs.
        :param sha256: of the body, in hex.
        :param patience: a factor for the deadline, for requests over which the store works long.
        :raises StoreError: anything but a success.
        """
        what = f"{method} s3://{self.bucket.name}/{key}"
        length = body.length if body is not None else len(data or b"")
        seconds = self._timeout_s * patience + length / SLOWEST
        work = Deferred.fromCoroutine(
            self._exchange(what, method, key, action, query, headers or {}, body, data, sha256)
        )
        answer: Answer = await _within(work, seconds, self._clock, what)
        return answer

    async def _exchange(
        self,
        what: str,
        method: str,
        key: str,
        action: str,
        query: Sequence[tuple[str, str]],
        headers: Mapping[str, str],
        body: Body | None,
        data: bytes | None,
        sha256: str,
    ) -> Answer:
        response = await self._send(what, method, key, query, headers, body, data, sha256)
        found = _lower(response.headers)
        reader = _Reader(LONGEST if response.code >= 300 else 16 * LONGEST)
        response.deliverBody(reader)
        try:
            content = await reader.whole()
        except Exception as error:
            raise _lost(what, error) from error
        if response.code < 300 and not (method == "POST" and b"<Error>" in content[:LONGEST]):
            return Answer(response.code, found, content)
        # CompleteMultipartUpload and copies can answer 200 and put an error into the body.
        raise self._failed(response.code if response.code >= 300 else 500, found, content, what, action)

    async def _send(
        self,
        what: str,
        method: str,
        key: str,
        query: Sequence[tuple[str, str]],
        headers: Mapping[str, str],
        body: Body | None,
        data: bytes | None,
        sha256: str,
    ) -> Any:
        keys = await self._credentials.keys()
        url = f"{self.bucket.base}/{encode_key(key)}" if key else f"{self.bucket.base}"
        if not urlsplit(url).path:
            url += "/"
        if query:
            url += f"?{encode_query(query)}"
        signed = sign(keys, self.bucket.region, method, url, headers, sha256)
        sent = Headers({name: [value] for name, value in signed.items()})
        producer: Any = SliceProducer(body, self._offload) if body is not None and body.length else data or b""
        try:
            return await self._client.request(
                method,
                EncodedURL.from_text(url),
                headers=sent,
                data=producer if method in ("PUT", "POST") else None,
                allow_redirects=False,
                unbuffered=True,
            )
        except (StoreError, CancelledError):
            raise
        except Exception as error:
            raise _lost(what, error) from error

    def _failed(self, status: int, headers: Mapping[str, str], body: bytes, what: str, action: str) -> StoreError:
        error = classify(
            status=status,
            headers=headers,
            body=body,
            what=what,
            action=action,
            bucket=self.bucket.name,
            region=self.bucket.region,
        )
        if error.kind is Kind.EXPIRED:
            self._credentials.expired()
        return error

    async def stream(self, key: str, headers: Mapping[str, str]) -> AsyncIterator[bytes]:
        """The body of an object, as fast as it is taken; the deadline holds for each wait.

        :raises StoreError: as ``request``; also where the connection ends early.
        """
        what = f"GET s3://{self.bucket.name}/{key}"
        sending = Deferred.fromCoroutine(self._send(what, "GET", key, (), headers, None, None, EMPTY_SHA256))
        response = await _within(sending, self._timeout_s, self._clock, what)
        reader = _Reader(None if response.code < 300 else LONGEST)
        response.deliverBody(reader)
        if response.code >= 300:
            content = await _within(Deferred.fromCoroutine(reader.whole()), self._timeout_s, self._clock, what)
            raise self._failed(response.code, _lower(response.headers), content, what, "s3:GetObject")
        try:
            while True:
                chunk = await _within(reader.next(), self._timeout_s, self._clock, what)
                if chunk is None:
                    return
                yield chunk
        finally:
            reader.abandon()


async def _within(work: Deferred[Any], seconds: float, clock: Any, what: str) -> Any:
    late = False

    def give_up() -> None:
        nonlocal late
        late = True
        work.cancel()

    call = clock.callLater(seconds, give_up)
    try:
        return await work
    except Exception as error:
        # What a cancelled request fails with depends on how far it had come.
        if late:
            raise StoreError(Kind.TRANSIENT, what, f"no answer within {seconds:.0f} s") from error
        if isinstance(error, StoreError | CancelledError):
            raise
        raise _lost(what, error) from error
    finally:
        if call.active():
            call.cancel()


def _lower(headers: Headers) -> dict[str, str]:
    return {
        name.decode("ascii", "replace").lower(): values[-1].decode("utf-8", "replace")
        for name, values in headers.getAllRawHeaders()
    }


def _lost(what: str, error: Exception) -> Exception:
    reasons = getattr(error, "reasons", None) or []
    for failure in reasons:
        if isinstance(failure, Failure) and isinstance(failure.value, StoreError | CancelledError):
            return failure.value
    text = "; ".join(failure.getErrorMessage() for failure in reasons) or str(error) or type(error).__name__
    never = isinstance(error, _NEVER_SENT) and not isinstance(error, ResponseFailed | PartialDownloadError)
    return StoreError(Kind.TRANSIENT, what, text[:500], applied=False if never else None)


class _Reader(BodyProtocol):
    """Takes an answer's body, and holds the socket back while it is not asked for."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._total = 0
        self._paused = False
        self._end: Failure | None = None
        self._waiting: Deferred[bytes | None] | None = None

    def dataReceived(self, data: bytes) -> None:
        """Some of the body."""
        self._total += len(data)
        if self._limit is not None and self._total > self._limit:
            data = data[: max(0, len(data) - (self._total - self._limit))]
        if data:
            self._chunks.append(data)
            self._size += len(data)
        self._give()
        if self._size > _AHEAD and not self._paused and self._limit is None:
            self._paused = True
            _transport(self).pauseProducing()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The body's end, good or bad."""
        self._end = reason
        self._give()

    def next(self) -> Deferred[bytes | None]:
        """The next chunk; ``None`` at the end."""
        self._waiting = Deferred()
        waiting = self._waiting
        self._give()
        return waiting

    async def whole(self) -> bytes:
        """All of it."""
        chunks = []
        while (chunk := await self.next()) is not None:
            chunks.append(chunk)
        return b"".join(chunks)

    def abandon(self) -> None:
        """The rest is not wanted."""
        if self._end is None and self.transport is not None:
            _transport(self).loseConnection()

    def _give(self) -> None:
        if self._waiting is None or self._waiting.called:
            return
        if self._chunks:
            chunk = self._chunks.popleft()
            self._size -= len(chunk)
            if self._paused and self._size <= _AHEAD // 2:
                self._paused = False
                _transport(self).resumeProducing()
            waiting, self._waiting = self._waiting, None
            waiting.callback(chunk)
        elif self._end is not None:
            waiting, self._waiting = self._waiting, None
            if self._end.check(ResponseDone, PotentialDataLoss):
                waiting.callback(None)
            else:
                waiting.errback(self._end)


def _transport(reader: BodyProtocol) -> Any:
    transport: ITransport | None = reader.transport
    return transport
