"""S3 and what speaks its language, as an object store. Owns which requests make up a put, an append, a look; the
answers' meaning is in ``s3_errors.py``, what the store honours in ``probe.py``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from hashlib import sha256
from typing import Final
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from lf6gateway.disk.offload import Offload
from lf6gateway.stores.answers import (
    child,
    children,
    listed_key,
    listed_object,
    may_be_key,
    moment_ns,
    present_of,
    text,
    tree,
)
from lf6gateway.stores.checksums import checksum_headers
from lf6gateway.stores.comparison import Comparison
from lf6gateway.stores.http import Range, Requests
from lf6gateway.stores.metadata import headers_of
from lf6gateway.stores.parts import LARGEST_PUT, MOST_PARTS, cut, spans
from lf6gateway.stores.producer import Read, digests, read_slice
from lf6gateway.stores.signing import encode_key
from lf6gateway.stores.store import Absent, Body, Capabilities, Condition, Listed, Present, Unchanged
from lf6gateway.values.failure import Kind, StoreError

_log = Logger()

_LONG: Final = 10.0
"""How many times the usual deadline is granted where the store moves the bytes itself."""
_CLOCKS_APART_NS: Final = 15 * 60 * 1_000_000_000
"""How far the store's clock can be from ours; further apart it takes no request."""
_LOOK: Final = "s3:GetObject and s3:ListBucket"
"""What a look needs: without the latter S3 calls denied what is not there."""


class S3Store:
    """One bucket.

    :param part_bytes: the size of the parts a large body is sent in.
    :param probe_key: the object on which is tried what the store honours.
    :param read: reads the files of a body.
    """

    def __init__(
        self, http: Requests, *, offload: Offload, part_bytes: int, probe_key: str, read: Read = read_slice
    ) -> None:
        self._read = read
        self._http = http
        self._offload = offload
        self._part_bytes = part_bytes
        self._probe_key = probe_key
        self._found: Capabilities | None = None
        self._probing: list[Deferred[None]] | None = None
        self._warned = False

    async def capabilities(self) -> Capabilities:
        """See ``ObjectStore``."""
        while self._found is None:
            if self._probing is not None:
                turn: Deferred[None] = Deferred()
                self._probing.append(turn)
                await turn
                continue
            self._probing = []
            try:
                from lf6gateway.stores.probe import probe

                self._found = await probe(self, self._probe_key)
            finally:
                waiting, self._probing = self._probing, None
                for turn in waiting:
                    turn.callback(None)
        return self._found

    async def head(self, key: str) -> Present | None:
        """See ``ObjectStore``."""
        try:
            try:
                answer = await self._http.request("HEAD", key, action=_LOOK)
            except StoreError as error:
                if error.kind not in (Kind.REFUSED, Kind.DENIED):
                    raise
                # The answer to HEAD has no body, so it cannot say what the matter is; the one to GET does.
                await self._http.request("GET", key, action=_LOOK, headers={"Range": "bytes=0-0"})
                answer = await self._http.request("HEAD", key, action=_LOOK)
        except StoreError as error:
            if error.kind is Kind.GONE:
                return None
            raise
        return present_of(answer, f"look at {key}")

    async def get(
        self, key: str, *, if_match: str | None = None, start: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        """See ``ObjectStore``."""
        headers = {"If-Match": if_match} if if_match is not None else {}
        span = None if not start and length is None else Range(start, length)
        if length == 0:
            return
        async for chunk in self._http.stream(key, headers, span):
            yield chunk

    async def link(self, key: str, seconds: int) -> str:
        """See ``Links``. The object is to be saved, never shown: it may be a page that somebody sent."""
        return await self._http.link(key, [("response-content-disposition", "attachment")], seconds)

    async def put(
        self,
        key: str,
        body: Body,
        *,
        metadata: Mapping[str, str],
        content_type: str,
        condition: Condition = None,
    ) -> Present:
        """See ``ObjectStore``."""
        honours = await self.capabilities()
        await self._guard(key, condition, honours)
        whole = {Absent: honours.put_if_absent, Unchanged: honours.put_if_match}.get(type(condition), True)
        parts = {Absent: honours.complete_if_absent, Unchanged: honours.complete_if_match}.get(type(condition), True)
        large = body.length > LARGEST_PUT or (body.length > 4 * self._part_bytes and (parts or not whole))
        if large or not honours.put_whole:
            return await self.put_parts(
                key, None, body, metadata=metadata, content_type=content_type, condition=condition
            )
        found = await self._offload(lambda: digests(body, self._read))
        headers = {
            "Content-Type": content_type,
            **headers_of(metadata, honours.metadata_longest),
            **_condition(condition if whole else None),
            **checksum_headers(honours.checksum, found),
        }
        return await self.put_once(key, body, headers, found.sha256)

    async def put_once(self, key: str, content: Body | bytes, headers: Mapping[str, str], sha256_hex: str) -> Present:
        """One PutObject."""
        body, data = (content, None) if isinstance(content, Body) else (None, content)
        answer = await self._http.request(
            "PUT", key, action="s3:PutObject", headers=headers, body=body, data=data, sha256=sha256_hex
        )
        size = content.length if isinstance(content, Body) else len(content)
        return await self._stored(key, answer.headers.get("etag", "").strip(), size)

    async def append(
        self, key: str, present: Present, tail: Body, *, metadata: Mapping[str, str], content_type: str
    ) -> Present:
        """See ``ObjectStore``."""
        honours = await self.capabilities()
        condition = Unchanged(present.etag)
        if not honours.complete_if_match:
            await self._compare(key, condition)
        return await self.put_parts(
            key, present, tail, metadata=metadata, content_type=content_type, condition=condition
        )

    async def put_parts(
        self,
        key: str,
        present: Present | None,
        body: Body,
        *,
        metadata: Mapping[str, str],
        content_type: str,
        condition: Condition,
    ) -> Present:
        """A multipart upload: what is there already, copied on the store's side, and a body behind it."""
        longest = None if self._found is None else self._found.metadata_longest
        headers = {"Content-Type": content_type, **headers_of(metadata, longest)}
        upload = await self.begin(key, headers)
        try:
            etags = await self._copied(key, upload, present) if present is not None else []
            comparison = Comparison(body)
            for part in cut(body, self._part_bytes, MOST_PARTS - len(etags)) or [body]:
                etags.append(await self._part(key, upload, len(etags) + 1, part, comparison))
            honours = self._found
            sure = honours is None or (
                honours.complete_if_absent if isinstance(condition, Absent) else honours.complete_if_match
            )
            if not sure:
                await self._compare(key, condition)
            return await self._completed(
                key, upload, etags, condition if sure else None, (present.size if present else 0) + body.length
            )
        except Exception as error:  # a cancellation too, and a disk that failed
            await self._given_up(key, upload, error)
            raise

    async def _given_up(self, key: str, upload: str, error: BaseException) -> None:
        try:
            await self.abort(key, upload)
        except StoreError as second:
            _log.warn(
                "{key}: the upload that failed ({error}) could not be aborted: {second}; it is looked for at the "
                "next start",
                key=key,
                error=str(error),
                second=str(second),
            )

    async def _copied(self, key: str, upload: str, present: Present) -> list[str]:
        ranges = spans(present.size)
        etag = present.etag if self._found is None or self._found.copy_if_match else None
        return [
            await self.part_copy(key, upload, number, etag, span if len(ranges) > 1 else None)
            for number, span in enumerate(ranges, 1)
        ]

    async def part_copy(
        self, key: str, upload: str, number: int, etag: str | None, span: tuple[int, int] | None
    ) -> str:
        """Make an object's present bytes a part of its next form; the part's ETag."""
        headers = {"x-amz-copy-source": f"/{self._http.bucket.name}/{encode_key(key)}"}
        if etag is not None:
            headers["x-amz-copy-source-if-match"] = etag
        if span is not None:
            headers["x-amz-copy-source-range"] = f"bytes={span[0]}-{span[1]}"
        answer = await self._http.request(
            "PUT",
            key,
            action="s3:GetObject",
            query=[("partNumber", str(number)), ("uploadId", upload)],
            headers=headers,
            patience=_LONG,
        )
        found = text(answer.body, "ETag")
        if not found:
            raise StoreError(Kind.UNSUPPORTED, f"copy {key} into a part", "the answer has no ETag", applied=False)
        return found

    async def _part(self, key: str, upload: str, number: int, part: Body, comparison: Comparison) -> str:
        found = await self._offload(lambda: digests(part, self._read, comparison))
        kind = None if self._found is None else self._found.part_checksum
        return await self.put_part(key, upload, number, part, found.sha256, checksum_headers(kind, found))

    async def put_part(
        self, key: str, upload: str, number: int, part: Body | bytes, sha256_hex: str, headers: Mapping[str, str]
    ) -> str:
        """One part of a multipart upload; its ETag."""
        body, data = (part, None) if isinstance(part, Body) else (None, part)
        answer = await self._http.request(
            "PUT",
            key,
            action="s3:PutObject",
            query=[("partNumber", str(number)), ("uploadId", upload)],
            headers=headers,
            body=body,
            data=data,
            sha256=sha256_hex,
        )
        etag = answer.headers.get("etag", "").strip()
        if not etag:
            raise StoreError(
                Kind.TRANSIENT, f"send part {number} of {key}", "the answer has no ETag, without which it is no part"
            )
        return etag

    async def begin(self, key: str, headers: Mapping[str, str]) -> str:
        """Begin a multipart upload; its id."""
        answer = await self._http.request("POST", key, action="s3:PutObject", query=[("uploads", "")], headers=headers)
        upload = text(answer.body, "UploadId").strip()
        if not upload:
            raise StoreError(Kind.TRANSIENT, f"begin an upload of {key}", "the answer names no upload", applied=False)
        return upload

    async def _completed(self, key: str, upload: str, etags: Sequence[str], condition: Condition, size: int) -> Present:
        items = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag></Part>"
            for number, etag in enumerate(etags, 1)
        )
        data = f"<CompleteMultipartUpload>{items}</CompleteMultipartUpload>".encode()
        answer = await self._http.request(
            "POST",
            key,
            action="s3:PutObject",
            query=[("uploadId", upload)],
            headers={"Content-Type": "application/xml", **_condition(condition)},
            data=data,
            sha256=sha256(data).hexdigest(),
            patience=_LONG,
        )
        etag = text(answer.body, "ETag").strip() or answer.headers.get("etag", "").strip()
        return await self._stored(key, etag, size)

    complete = _completed

    async def abort(self, key: str, upload: str) -> None:
        """Give a multipart upload up; one that is gone is no error."""
        try:
            await self._http.request("DELETE", key, action="s3:AbortMultipartUpload", query=[("uploadId", upload)])
        except StoreError as error:
            if error.kind is not Kind.GONE:
                raise

    async def delete(self, key: str) -> None:
        """See ``ObjectStore``."""
        try:
            await self._http.request("DELETE", key, action="s3:DeleteObject")
        except StoreError as error:
            if error.kind is not Kind.GONE:
                raise

    async def list_keys(self, prefix: str) -> Sequence[str]:
        """See ``ObjectStore``."""
        keys: list[str] = []
        async for root in self._pages([("prefix", prefix)]):
            keys.extend(listed_key(root, child(one, "Key")) for one in children(root, "Contents"))
        return sorted(keys)

    async def listed(self, prefix: str, *, after: str = "") -> AsyncIterator[Sequence[Listed]]:
        """See ``ObjectStore``."""
        async for root in self._pages([("prefix", prefix), *([("start-after", after)] if after else [])]):
            yield [listed_object(root, one) for one in children(root, "Contents")]

    async def folders(self, prefix: str) -> Sequence[str]:
        """See ``ObjectStore``."""
        found: set[str] = set()
        async for root in self._pages([("delimiter", "/"), ("prefix", prefix)]):
            whole = [listed_key(root, child(one, "Prefix")) for one in children(root, "CommonPrefixes")]
            found.update(one.removeprefix(prefix).rstrip("/") for one in whole)
        return sorted(found)

    async def _pages(self, asked: list[tuple[str, str]]) -> AsyncIterator[Element]:
        """The answers of ListObjectsV2, one after the other."""
        token = ""
        while True:
            query = [("encoding-type", "url"), ("list-type", "2"), *asked]
            if token:
                query.append(("continuation-token", token))
            answer = await self._http.request("GET", "", action="s3:ListBucket", query=sorted(query))
            root = tree(answer.body, "ListBucketResult")
            yield root
            before, token = token, child(root, "NextContinuationToken")
            if not token or token == before:
                return

    async def abort_uploads(self, key: str, *, before_ns: int) -> int:
        """See ``ObjectStore``. When an upload was begun is told by the store's clock, so one that was begun within a
        quarter of an hour after the moment is given up too."""
        count = 0
        marker: list[tuple[str, str]] = []
        while True:
            query = [("encoding-type", "url"), *marker, ("prefix", key), ("uploads", "")]
            answer = await self._http.request("GET", "", action="s3:ListBucketMultipartUploads", query=query)
            root = tree(answer.body, "ListMultipartUploadsResult")
            for one in children(root, "Upload"):
                old = moment_ns(child(one, "Initiated")) < before_ns + _CLOCKS_APART_NS
                if old and may_be_key(child(one, "Key"), key):
                    await self.abort(key, child(one, "UploadId").strip())
                    count += 1
            next_key = listed_key(root, child(root, "NextKeyMarker"))
            following = [("key-marker", next_key), ("upload-id-marker", child(root, "NextUploadIdMarker"))]
            # Keys are listed in order, and those behind this one in the order are others.
            if child(root, "IsTruncated") != "true" or not next_key or next_key > key or following == marker:
                return count
            marker = following

    async def close(self) -> None:
        """See ``ObjectStore``; the connections belong to whoever made them."""

    async def _stored(self, key: str, etag: str, size: int) -> Present:
        """What was written. Some stores answer without the ETag, which the next condition needs; a look tells it."""
        if etag:
            return Present(etag, size)
        present = await self.head(key)
        if present is None:
            raise StoreError(Kind.TRANSIENT, f"look at {key}", "it was written and is not there")
        if present.size != size:
            raise StoreError(
                Kind.TRANSIENT, f"look at {key}", f"{size} bytes were written, and an object of {present.size} is there"
            )
        return present

    async def _guard(self, key: str, condition: Condition, honours: Capabilities) -> None:
        absent = isinstance(condition, Absent)
        if condition is not None and not (honours.put_if_absent if absent else honours.put_if_match):
            await self._compare(key, condition)

    async def _compare(self, key: str, condition: Condition) -> None:
        """Look before a write whose condition the store ignores: the next best thing."""
        if not self._warned:
            self._warned = True
            _log.warn(
                "bucket {bucket}: the store ignores some conditions on writes, so each such write looks first; two "
                "writers "
                "of one key in the same moment could collide. Give every gateway its own hostname",
                bucket=self._http.bucket.name,
            )
        present = await self.head(key)
        wanted = condition.etag if isinstance(condition, Unchanged) else None
        found = None if present is None else present.etag
        if condition is not None and found != wanted:
            raise StoreError(Kind.CONFLICT, f"write {key}", "it is not the object it was", applied=False)


def _condition(condition: Condition) -> dict[str, str]:
    if isinstance(condition, Absent):
        return {"If-None-Match": "*"}
    return {"If-Match": condition.etag} if isinstance(condition, Unchanged) else {}
