"""One signed request to S3 and its answer, carried by treq. Owns deadlines, signatures, and that whatever goes wrong is
told as a ``StoreError``; must never know what a request is for."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
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
from twisted.python.failure import Failure
from twisted.web.client import PartialDownloadError, ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent

from lf6gateway.disk.offload import Offload
from lf6gateway.stores.answers import Answer, doubt, holds_error
from lf6gateway.stores.credentials import CredentialSource
from lf6gateway.stores.plain_agent import ENCODING, PlainAgent
from lf6gateway.stores.producer import SliceProducer
from lf6gateway.stores.reader import BodyReader
from lf6gateway.stores.s3_errors import LONGEST, classify
from lf6gateway.stores.signing import EMPTY_SHA256, Keys, encode_key, encode_query, presign, sign
from lf6gateway.stores.store import Body
from lf6gateway.values.failure import Kind, StoreError

SLOWEST: Final = 128 * 1024
"""Bytes a second; the deadline of a request grows by what its body takes at this pace."""
LONGEST_ANSWER: Final = 16 * 1024 * 1024
"""Bytes of an answer that is not an object; a list of a thousand of the longest keys, escaped, has about half."""

_BEHIND_THE_END: Final = 416
"""The status for a part that begins behind the object's end (RFC 9110, section 15.5.17)."""

_NEVER_SENT = (RefusedError, DNSLookupError, NoRouteError, TCPTimedOutError, ConnectError)


_PARTITIONS: Final[Mapping[str, str]] = {
    "cn-": "amazonaws.com.cn",
    "eusc-": "amazonaws.eu",
    "us-iso-": "c2s.ic.gov",
    "us-isob-": "sc2s.sgov.gov",
}


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
    domain = next((domain for front, domain in _PARTITIONS.items() if region.startswith(front)), "amazonaws.com")
    if "." in name:
        return Bucket(name, f"https://s3.{region}.{domain}/{name}", region)
    return Bucket(name, f"https://{name}.s3.{region}.{domain}", region)


@dataclass(frozen=True, slots=True)
class Range:
    """A part of an object: from byte ``start`` on, at most ``length`` of them (``None``: to its end)."""

    start: int
    length: int | None

    @property
    def header(self) -> str:
        """As HTTP asks for it (RFC 9110, section 14.1.2)."""
        return f"bytes={self.start}-" + ("" if self.length is None else str(self.start + self.length - 1))

    def before(self, status: int, content_range: str, what: str) -> int:
        """How many of an answer's bytes lie before the part: all up to ``start`` where a store gives the whole object.

        :param content_range: the answer's field; rclone sends it with the status 200, too.
        :raises StoreError: the answer is another part.
        """
        if not content_range and status != 206:
            return self.start
        if not content_range.startswith(f"bytes {self.start}-"):
            raise StoreError(
                Kind.TRANSIENT, what, f"{self.header} was asked for, and {content_range[:80]!r} came", applied=False
            )
        return 0


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

    def stream(self, key: str, headers: Mapping[str, str], span: Range | None = None) -> AsyncIterator[bytes]:
        """See ``S3Http``."""

    async def link(self, key: str, query: Sequence[tuple[str, str]], seconds: int) -> str:
        """See ``S3Http``."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request, before it is signed; ``what`` names it in errors, the rest as in ``S3Http.request``."""

    what: str
    method: str
    key: str
    action: str
    query: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body | None = None
    data: bytes | None = None
    sha256: str = EMPTY_SHA256


class S3Http:
    """Sends requests about one bucket.

    :param agent: makes the connections.
    :param timeout_s: the deadline of a request without a body.
    """

    def __init__(
        self,
        *,
        agent: IAgent,
        bucket: Bucket,
        credentials: CredentialSource,
        offload: Offload,
        clock: Any,
        timeout_s: float,
    ) -> None:
        self.bucket = bucket
        self._client = HTTPClient(PlainAgent(agent))
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
        asked = _Asked(what, method, key, action, query, headers or {}, body, data, sha256)
        work = Deferred.fromCoroutine(self._renewed(asked))
        answer: Answer = await _within(work, seconds, self._clock, what)
        return answer

    async def _renewed(self, asked: _Asked) -> Answer:
        """One exchange; a second one at once where the keys were called expired and there are new ones."""
        keys = await self._credentials.keys()
        try:
            return await self._exchange(keys, asked)
        except StoreError as error:
            if error.kind is not Kind.EXPIRED:
                raise
            self._credentials.expired(keys)
            fresh = await self._credentials.keys()
            if fresh == keys:
                raise
        return await self._exchange(fresh, asked)

    async def _exchange(self, keys: Keys, asked: _Asked) -> Answer:
        what, body = asked.what, asked.body
        producer: Any = SliceProducer(body, self._offload) if body is not None and body.length else asked.data or b""
        try:
            response = await self._send(keys, asked, producer)
            reader = BodyReader(LONGEST if response.code >= 300 else LONGEST_ANSWER)
            response.deliverBody(reader)
            try:
                content = await reader.whole()
            except Exception as error:
                raise _lost(what, error) from error
            finally:
                reader.abandon()
        finally:
            if isinstance(producer, SliceProducer):
                producer.abandon()
        found = _lower(response.headers)
        if response.code >= 300:
            raise self._failed(response.code, found, content, asked)
        if reader.cut:
            raise StoreError(Kind.TRANSIENT, what, f"the answer has more than {LONGEST_ANSWER} bytes")
        # CompleteMultipartUpload and copies can answer 200 and put an error into the body.
        if asked.method != "GET" and holds_error(content):
            raise self._failed(500, found, content, asked)
        why = doubt(asked.method, found.get(ENCODING.decode(), ""), content)
        if why:
            raise StoreError(Kind.TRANSIENT, what, f"HTTP {response.code}, but no answer of S3: {why}")
        return Answer(response.code, found, content)

    async def _send(self, keys: Keys, asked: _Asked, data: Any) -> Any:
        what = asked.what
        try:
            url = f"{self.bucket.base}/{encode_key(asked.key)}" if asked.key else f"{self.bucket.base}"
            if not urlsplit(url).path:
                url += "/"
            if asked.query:
                url += f"?{encode_query(asked.query)}"
            signed = sign(keys, self.bucket.region, asked.method, url, asked.headers, asked.sha256)
            sent = Headers({name: [value] for name, value in signed.items()})
            target = EncodedURL.from_text(url)
        except (ValueError, TypeError) as error:
            # Nothing was sent, and no other object fares the same.
            raise StoreError(Kind.REFUSED, what, f"no request can be made of that: {error}", applied=False) from error
        try:
            return await self._client.request(
                asked.method,
                target,
                headers=sent,
                data=data if asked.method in ("PUT", "POST") else None,
                allow_redirects=False,
                unbuffered=True,
            )
        except (StoreError, CancelledError):
            raise
        except Exception as error:
            raise _lost(what, error) from error

    def _failed(self, status: int, headers: Mapping[str, str], body: bytes, asked: _Asked) -> StoreError:
        return classify(
            status=status,
            headers=headers,
            body=body,
            what=asked.what,
            action=asked.action,
            bucket=self.bucket.name,
            region=self.bucket.region,
        )

    async def stream(self, key: str, headers: Mapping[str, str], span: Range | None = None) -> AsyncIterator[bytes]:
        """The body of an object, byte for byte and as fast as it is taken; the deadline holds for each wait.

        :param headers: with an ``If-Match``, no other object is given, whether or not the store heeds it.
        :param span: a part of it alone, whether or not the store heeds that; nothing where it begins behind the end.
        :raises StoreError: as ``request``; also where the connection ends early.
        """
        what = f"GET s3://{self.bucket.name}/{key}"
        wanted = headers if span is None else {**headers, "Range": span.header}
        response, reader = await self._opened(_Asked(what, "GET", key, "s3:GetObject", headers=wanted))
        try:
            if response.code == _BEHIND_THE_END:
                return
            found = _lower(response.headers)
            _same(found.get("etag", ""), headers.get("If-Match"), what)
            skip = 0 if span is None else span.before(response.code, found.get("content-range", ""), what)
            left = None if span is None else span.length
            while (chunk := await _within(reader.next(), self._timeout_s, self._clock, what)) is not None:
                chunk, skip = chunk[skip:], max(0, skip - len(chunk))
                if left is not None:
                    chunk = chunk[:left]
                    left -= len(chunk)
                if chunk:
                    yield chunk
                if left == 0 and "content-range" not in found:
                    return  # all that comes yet is not wanted
        finally:
            reader.abandon()

    async def link(self, key: str, query: Sequence[tuple[str, str]], seconds: int) -> str:
        """A URL that gives an object to whoever has it, for so many seconds.

        :raises StoreError: there are no keys to sign it with.
        """
        keys = await self._credentials.keys()
        return presign(keys, self.bucket.region, f"{self.bucket.base}/{encode_key(key)}?{encode_query(query)}", seconds)

    async def _opened(self, asked: _Asked) -> tuple[Any, BodyReader]:
        """A stream that begins; asked for a second time where the keys were called expired and there are new ones."""
        what = asked.what
        used: Keys | None = None
        while True:
            getting = Deferred.fromCoroutine(self._credentials.keys())
            keys: Keys = await _within(getting, self._timeout_s, self._clock, what)
            sending = Deferred.fromCoroutine(self._send(keys, asked, None))
            response = await _within(sending, self._timeout_s, self._clock, what)
            reader = BodyReader(None if response.code < 300 else LONGEST)
            response.deliverBody(reader)
            if response.code < 300 or (response.code == _BEHIND_THE_END and "Range" in asked.headers):
                return response, reader
            try:
                content = await _within(Deferred.fromCoroutine(reader.whole()), self._timeout_s, self._clock, what)
            finally:
                reader.abandon()
            error = self._failed(response.code, _lower(response.headers), content, asked)
            if error.kind is not Kind.EXPIRED or used is not None:
                raise error
            self._credentials.expired(keys)
            used = keys
            if (
                await _within(Deferred.fromCoroutine(self._credentials.keys()), self._timeout_s, self._clock, what)
                == keys
            ):
                raise error


def _same(etag: str, wanted: str | None, what: str) -> None:
    if not etag:
        raise StoreError(Kind.TRANSIENT, what, "the answer has no ETag, so it is no object of S3's", applied=False)
    if wanted is not None and _bare(etag) != _bare(wanted):
        raise StoreError(Kind.CONFLICT, what, f"it is another object now, {etag[:80]}", applied=False)


def _bare(etag: str) -> str:
    """An ETag without what a proxy on the way may change of it."""
    return etag.removeprefix("W/").strip('"')


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
