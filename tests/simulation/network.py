"""An S3 service at the level of its requests, and the way there. Owns objects, unfinished uploads, what is honoured, and
what becomes of a request on its way: lost before it takes effect, or after, refused, late, or taking effect when nobody
waits for it any more."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import unquote

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from lf6gateway.stores.http import Answer, Bucket
from lf6gateway.stores.s3_errors import classify
from lf6gateway.stores.store import Body, Capabilities
from lf6gateway.values.failure import Kind, StoreError
from tests.simulation.chance import Chance

_ERRORS = (
    (500, "InternalError"),
    (503, "SlowDown"),
    (503, ""),
    (409, "ConditionalRequestConflict"),
    (409, "OperationAborted"),
    (400, "RequestTimeout"),
    (403, "RequestTimeTooSkewed"),
    (403, "AccessDenied"),
    (400, "ExpiredToken"),
    (429, "TooManyRequests"),
)


@dataclass
class Weather:
    """How often each thing happens to a request, as probabilities."""

    lost_before: float = 0.0
    lost_after: float = 0.0
    refused: float = 0.0
    ghost: float = 0.0
    stale: float = 0.0


@dataclass
class Thing:
    """An object."""

    data: bytes
    metadata: dict[str, str]
    etag: str


@dataclass
class Upload:
    """Parts that are not put together yet."""

    key: str
    metadata: dict[str, str]
    begun: int
    parts: dict[int, tuple[str, bytes]] = field(default_factory=dict)


@dataclass(eq=False)
class Flight:
    """A request on its way. ``answer`` is ``None`` once nobody waits."""

    method: str
    key: str
    query: dict[str, str]
    headers: dict[str, str]
    content: bytes
    action: str
    answer: Deferred[Answer] | None
    applied: tuple[int, dict[str, str], bytes] | None = None


class Server:
    """The service; all machines share it.

    :param honours: which conditions it obeys, and whether it copies parts.
    """

    def __init__(self, chance: Chance, honours: Capabilities, counts: Counter[str]) -> None:
        self._chance = chance
        self._counts = counts
        self.honours = honours
        self.objects: dict[str, Thing] = {}
        self.before: dict[str, Thing | None] = {}
        self.uploads: dict[str, Upload] = {}
        self.weather = Weather()
        self.calm = True
        self.flights: list[Flight] = []
        self.down = False
        self.count = 0
        self.now = 0
        self.watched: Callable[[str], None] | None = None

    def serve(self, flight: Flight) -> tuple[int, dict[str, str], bytes]:
        """Apply a request; status, headers and body of the answer."""
        self.count += 1
        method, key, query = flight.method, flight.key, flight.query
        if method == "HEAD":
            return self._head(key)
        if method == "GET" and "uploads" in query:
            items = "".join(
                f"<Upload><Key>{one.key}</Key><UploadId>{name}</UploadId>"
                f"<Initiated>{datetime.fromtimestamp(one.begun / 1e9, UTC).isoformat()}</Initiated></Upload>"
                for name, one in self.uploads.items()
                if one.key == query.get("prefix")
            )
            return 200, {}, f"<ListMultipartUploadsResult>{items}</ListMultipartUploadsResult>".encode()
        if method == "GET":
            return self._get(flight)
        if method == "PUT" and "uploadId" in query:
            return self._part(flight)
        if method == "POST" and "uploads" in query:
            self.count += 1
            name = f"upload-{self.count}"
            self.uploads[name] = Upload(key, _metadata(flight.headers), self.now)
            return 200, {}, f"<R><UploadId>{name}</UploadId></R>".encode()
        if method == "POST" and "uploadId" in query:
            return self._complete(flight)
        if method == "DELETE" and "uploadId" in query:
            found = self.uploads.pop(query["uploadId"], None)
            return (204, {}, b"") if found else _error(404, "NoSuchUpload")
        if method == "DELETE":
            self._set(key, None)
            return 204, {}, b""
        if method == "PUT":
            refused = self._refused(flight, self.honours.put_if_absent, self.honours.put_if_match)
            if refused is not None:
                return refused
            return 200, {"etag": self._stored(key, flight.content, _metadata(flight.headers))}, b""
        raise AssertionError(flight)

    def _head(self, key: str) -> tuple[int, dict[str, str], bytes]:
        found = self.objects.get(key)
        if not self.calm and key in self.before and self._chance(self.weather.stale):
            if self.before[key] is not found:
                self._counts["s3: HEAD of before"] += 1
            found = self.before[key]
        if found is None:
            return 404, {}, b""
        headers = {"etag": found.etag, "content-length": str(len(found.data))}
        return 200, headers | {f"x-amz-meta-{name}": value for name, value in found.metadata.items()}, b""

    def _get(self, flight: Flight) -> tuple[int, dict[str, str], bytes]:
        found = self.objects.get(flight.key)
        if found is None:
            return _error(404, "NoSuchKey")
        if flight.headers.get("if-match", found.etag) != found.etag:
            return _error(412, "PreconditionFailed")
        return 200, {"etag": found.etag}, found.data

    def _part(self, flight: Flight) -> tuple[int, dict[str, str], bytes]:
        upload = self.uploads.get(flight.query["uploadId"])
        if upload is None:
            return _error(404, "NoSuchUpload")
        content = flight.content
        source = flight.headers.get("x-amz-copy-source")
        if source is not None:
            if not self.honours.part_copy:
                return _error(501, "NotImplemented")
            found = self.objects.get(unquote(source).split("/", 2)[2])
            if found is None:
                return _error(404, "NoSuchKey")
            if flight.headers.get("x-amz-copy-source-if-match", found.etag) != found.etag:
                return _error(412, "PreconditionFailed")
            content = found.data
        etag = f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
        upload.parts[int(flight.query["partNumber"])] = (etag, content)
        return 200, {"etag": etag}, f"<R><ETag>{etag}</ETag></R>".encode() if source else b""

    def _complete(self, flight: Flight) -> tuple[int, dict[str, str], bytes]:
        upload = self.uploads.get(flight.query["uploadId"])
        if upload is None:
            return _error(404, "NoSuchUpload")
        refused = self._refused(flight, self.honours.complete_if_absent, self.honours.complete_if_match)
        if refused is not None:
            return refused
        numbers = [int(number) for number in re.findall(rb"<PartNumber>(\d+)<", flight.content)]
        if any(number not in upload.parts for number in numbers):
            return _error(400, "InvalidPart")
        del self.uploads[flight.query["uploadId"]]
        data = b"".join(upload.parts[number][1] for number in numbers)
        return 200, {}, f"<R><ETag>{self._stored(flight.key, data, upload.metadata)}</ETag></R>".encode()

    def _refused(self, flight: Flight, absent: bool, match: bool) -> tuple[int, dict[str, str], bytes] | None:
        found = self.objects.get(flight.key)
        if absent and flight.headers.get("if-none-match") == "*" and found is not None:
            return _error(412, "PreconditionFailed")
        wanted = flight.headers.get("if-match")
        if match and wanted is not None:
            if found is None:
                return _error(404, "NoSuchKey")
            if found.etag != wanted:
                return _error(412, "PreconditionFailed")
        return None

    def _stored(self, key: str, data: bytes, metadata: dict[str, str]) -> str:
        self.count += 1
        etag = f'"{self.count:x}-{hashlib.md5(data, usedforsecurity=False).hexdigest()[:8]}"'
        self._set(key, Thing(data, metadata, etag))
        return etag

    def _set(self, key: str, thing: Thing | None) -> None:
        self.before[key] = self.objects.get(key)
        if thing is None:
            self.objects.pop(key, None)
        else:
            self.objects[key] = thing

    # One step of one request.

    def advance(self, flight: Flight) -> None:
        """Something becomes of a request: it takes effect, is answered, or is lost."""
        weather = Weather() if self.calm else self.weather
        if flight.applied is None:
            if self.down and flight.answer is not None:
                self._counts["s3: down"] += 1
                self._end(flight, _lost(flight, applied=False))
                return
            if self._chance(weather.lost_before):
                self._counts["s3: failed before"] += 1
                self._end(flight, _lost(flight, applied=None))
                return
            if flight.answer is not None and self._chance(weather.refused):
                status, code = self._chance.of(_ERRORS)
                conditional = "if-match" in flight.headers or "if-none-match" in flight.headers
                if status == 409 and not (conditional and self.honours.put_if_match):
                    status, code = 500, "InternalError"
                self._counts[f"s3: answered {status} {code}".rstrip()] += 1
                flight.applied = _error(status, code)
                return
            if flight.answer is None:
                self._counts["s3: took effect when nobody waited"] += 1
            flight.applied = self.serve(flight)
            self._note(flight)
            if self.watched:
                self.watched(f"{flight.method} {flight.key} {flight.query or ''} -> {flight.applied[0]}")
            return
        if self._chance(weather.lost_after):
            if flight.method != "HEAD" and flight.applied[0] < 300:
                self._counts["s3: applied and its answer lost"] += 1
            self._end(flight, _lost(flight, applied=None))
            return
        status, headers, body = flight.applied
        if status < 300:
            self._end(flight, Answer(status, headers, body))
        else:
            error = classify(
                status=status,
                headers=headers,
                body=body,
                what=f"{flight.method} {flight.key}",
                action=flight.action,
                bucket="b",
                region="r",
            )
            self._end(flight, error)

    def _note(self, flight: Flight) -> None:
        """Count which ways were gone."""
        assert flight.applied is not None
        status = flight.applied[0]
        if flight.key.startswith("probe."):
            self._counts["way: probe"] += 1
        elif status == 412:
            self._counts[f"s3: 412 to {flight.method}"] += 1
        elif status == 200 and flight.method == "PUT" and not flight.query:
            if "if-match" in flight.headers:
                self._counts["way: PUT if unchanged"] += 1
            elif "if-none-match" in flight.headers:
                self._counts["way: PUT if absent"] += 1
            else:
                self._counts["way: HEAD, compare, PUT"] += 1
        elif status == 200 and flight.method == "POST" and "uploadId" in flight.query:
            self._counts["way: append" if "if-match" in flight.headers else "way: HEAD, compare, append"] += 1

    def forget(self, flight: Flight) -> None:
        """Nobody waits any more. What was sent may take effect all the same, at any time."""
        flight.answer = None
        if flight in self.flights and (flight.applied is not None or self.calm or not self._chance(self.weather.ghost)):
            self.flights.remove(flight)

    def timed_out(self, flight: Flight) -> None:
        """It took too long."""
        self._counts["s3: timed out" if flight.applied is None else "s3: applied, and too late answered"] += 1
        self.forget(flight)

    def _end(self, flight: Flight, outcome: Answer | StoreError) -> None:
        self.flights.remove(flight)
        answer, flight.answer = flight.answer, None
        if answer is not None and not answer.called:
            if isinstance(outcome, Answer):
                answer.callback(outcome)
            else:
                answer.errback(outcome)


class Line:
    """One gateway's way to the server, in the place of ``S3Http``.

    :param clock: its own; a request has a deadline.
    """

    def __init__(self, server: Server, clock: Clock, read: Callable[[str, int, int], bytes], timeout_s: float) -> None:
        self.bucket = Bucket("b", "http://b", "r")
        self._server = server
        self._clock = clock
        self._read = read
        self._timeout_s = timeout_s
        self._mine: list[Flight] = []
        self.dead = False

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
        sha256: str = "",
        patience: float = 1.0,
    ) -> Answer:
        if self.dead:
            await Deferred()
        content = data or b""
        if body is not None:
            content = b"".join(self._read(part.path, part.offset, part.length) for part in body.slices)
            if hashlib.sha256(content).hexdigest() != sha256:
                raise StoreError(Kind.DAMAGED, f"{method} {key}", "XAmzContentSHA256Mismatch", applied=False)
        lower = {name.lower(): value for name, value in (headers or {}).items()}
        checksum = lower.get("x-amz-checksum-sha256")
        if checksum is not None and base64.b64decode(checksum).hex() != sha256:
            raise StoreError(Kind.DAMAGED, f"{method} {key}", "BadDigest", applied=False)
        answer: Deferred[Answer] = Deferred()
        flight = Flight(method, key, dict(query), lower, content, action, answer)
        self._server.flights.append(flight)
        self._mine.append(flight)
        late = self._clock.callLater(self._timeout_s * patience, self._late, flight)
        try:
            return await answer
        finally:
            if late.active():
                late.cancel()
            if flight.answer is not None:
                self._server.forget(flight)
            self._mine.remove(flight)

    async def stream(self, key: str, headers: Mapping[str, str], span: object = None) -> AsyncIterator[bytes]:
        answer = await self.request("GET", key, action="s3:GetObject", headers=headers)
        step = max(1, len(answer.body) // 3)
        for start in range(0, len(answer.body), step):
            yield answer.body[start : start + step]

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return bool(self._mine)

    def hang_up(self) -> None:
        """The machine is gone."""
        self.dead = True
        for flight in list(self._mine):
            self._server.forget(flight)

    def _late(self, flight: Flight) -> None:
        answer = flight.answer
        self._server.timed_out(flight)
        if answer is not None:
            answer.errback(StoreError(Kind.TRANSIENT, f"{flight.method} {flight.key}", "no answer within the deadline"))


def _metadata(headers: Mapping[str, str]) -> dict[str, str]:
    front = "x-amz-meta-"
    return {name.removeprefix(front): value for name, value in headers.items() if name.startswith(front)}


def _error(status: int, code: str) -> tuple[int, dict[str, str], bytes]:
    return status, {}, f"<Error><Code>{code}</Code></Error>".encode() if code else b""


def _lost(flight: Flight, *, applied: bool | None) -> StoreError:
    return StoreError(Kind.TRANSIENT, f"{flight.method} {flight.key}", "the connection was lost", applied=applied)
