"""S3 and what speaks its language, as an object store. Owns which requests make up a put, an append, a look; the
answers' meaning is in ``s3_errors.py``, what the store honours in ``probe.py``."""

from __future__ import annotations

import base64
import xml.etree.ElementTree as ElementTree
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Final
from xml.sax.saxutils import escape

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from lf6gateway.disk.offload import Offload
from lf6gateway.stores.http import Answer, Requests
from lf6gateway.stores.producer import Digests, Read, digests, read_slice
from lf6gateway.stores.signing import encode_key
from lf6gateway.stores.store import Absent, Body, Capabilities, Condition, Present, Slice, Unchanged
from lf6gateway.values.failure import Kind, StoreError

_log = Logger()

MIB: Final = 1024 * 1024
LARGEST_PUT: Final = 5 * 1024 * MIB
"""Bytes S3 takes in one PutObject, and in one UploadPartCopy."""
SMALLEST_PART: Final = 5 * MIB
MOST_PARTS: Final = 10_000
_LONG: Final = 10.0
"""How many times the usual deadline is granted where the store moves the bytes itself."""


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
            answer = await self._http.request("HEAD", key, action="s3:GetObject")
        except StoreError as error:
            if error.kind is Kind.GONE:
                return None
            raise
        return _present(answer)

    async def get(self, key: str, *, if_match: str | None = None) -> AsyncIterator[bytes]:
        """See ``ObjectStore``."""
        headers = {"If-Match": if_match} if if_match is not None else {}
        async for chunk in self._http.stream(key, headers):
            yield chunk

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
        in_parts = body.length > LARGEST_PUT or (body.length > 4 * self._part_bytes and (parts or not whole))
        if in_parts:
            return await self.put_parts(
                key, None, body, metadata=metadata, content_type=content_type, condition=condition
            )
        found = await self._offload(lambda: digests(body, self._read))
        headers = {
            "Content-Type": content_type,
            **_metadata(metadata),
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
        etag = answer.headers.get("etag", "")
        size = content.length if isinstance(content, Body) else len(content)
        return Present(etag, size) if etag else await self._seen(key)

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
        headers = {"Content-Type": content_type, **_metadata(metadata)}
        created = await self._http.request("POST", key, action="s3:PutObject", query=[("uploads", "")], headers=headers)
        upload = _text(created.body, "UploadId")
        if not upload:
            raise StoreError(Kind.TRANSIENT, f"begin an upload of {key}", "the answer names no upload", applied=False)
        try:
            etags = await self._copied(key, upload, present) if present is not None else []
            for part in _parts(body, max(self._part_bytes, SMALLEST_PART)):
                etags.append(await self._part(key, upload, len(etags) + 1, part))
            honours = self._found
            sure = honours is None or (
                honours.complete_if_absent if isinstance(condition, Absent) else honours.complete_if_match
            )
            if not sure:
                await self._compare(key, condition)
            return await self._completed(
                key, upload, etags, condition if sure else None, (present.size if present else 0) + body.length
            )
        except (StoreError, CancelledError) as error:
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
        etags = []
        for number, (first, last) in enumerate(_ranges(present.size), 1):
            etags.append(
                await self.part_copy(
                    key, upload, number, present.etag, None if (first, last) == (0, present.size - 1) else (first, last)
                )
            )
        return etags

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
        found = _text(answer.body, "ETag")
        if not found:
            raise StoreError(Kind.UNSUPPORTED, f"copy {key} into a part", "the answer has no ETag", applied=False)
        return found

    async def _part(self, key: str, upload: str, number: int, part: Body) -> str:
        found = await self._offload(lambda: digests(part, self._read))
        return await self.put_part(key, upload, number, part, found)

    async def put_part(self, key: str, upload: str, number: int, part: Body | bytes, found: Digests) -> str:
        """One part of a multipart upload; its ETag."""
        body, data = (part, None) if isinstance(part, Body) else (None, part)
        answer = await self._http.request(
            "PUT",
            key,
            action="s3:PutObject",
            query=[("partNumber", str(number)), ("uploadId", upload)],
            headers=checksum_headers("md5" if self._found is None or self._found.checksum else None, found),
            body=body,
            data=data,
            sha256=found.sha256,
        )
        return answer.headers.get("etag", "")

    async def begin(self, key: str, headers: Mapping[str, str]) -> str:
        """Begin a multipart upload; its id."""
        answer = await self._http.request("POST", key, action="s3:PutObject", query=[("uploads", "")], headers=headers)
        return _text(answer.body, "UploadId")

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
        etag = _text(answer.body, "ETag") or answer.headers.get("etag", "")
        # Some stores answer without the ETag, which the next condition needs.
        return Present(etag, size) if etag else await self._seen(key)

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
        token = ""
        while True:
            query = [("list-type", "2"), ("prefix", prefix)]
            if token:
                query.insert(0, ("continuation-token", token))
            answer = await self._http.request("GET", "", action="s3:ListBucket", query=query)
            root = _tree(answer.body)
            keys.extend(_texts(root, "Contents", "Key"))
            token = next(iter(_texts(root, None, "NextContinuationToken")), "")
            if not token:
                return sorted(keys)

    async def abort_uploads(self, key: str, *, before_ns: int) -> int:
        """See ``ObjectStore``."""
        answer = await self._http.request(
            "GET", "", action="s3:ListBucketMultipartUploads", query=[("prefix", key), ("uploads", "")]
        )
        count = 0
        for element in _tree(answer.body).iter():
            if element.tag.rpartition("}")[2] != "Upload":
                continue
            fields = {child.tag.rpartition("}")[2]: (child.text or "").strip() for child in element}
            if fields.get("Key") == key and _moment(fields.get("Initiated", "")) < before_ns:
                await self.abort(key, fields.get("UploadId", ""))
                count += 1
        return count

    async def close(self) -> None:
        """See ``ObjectStore``; the connections belong to whoever made them."""

    async def _seen(self, key: str) -> Present:
        present = await self.head(key)
        if present is None:
            raise StoreError(Kind.TRANSIENT, f"look at {key}", "it was written and is not there")
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


def checksum_headers(kind: str | None, found: Digests) -> dict[str, str]:
    """The integrity header of an upload."""
    if kind == "sha256":
        return {"x-amz-checksum-sha256": base64.b64encode(found.sha256_raw).decode()}
    if kind == "crc32c":
        return {"x-amz-checksum-crc32c": base64.b64encode(found.crc32c).decode()}
    if kind == "md5":
        return {"Content-MD5": base64.b64encode(found.md5).decode()}
    return {}


def _metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    return {f"x-amz-meta-{name}": value for name, value in metadata.items()}


def _condition(condition: Condition) -> dict[str, str]:
    if isinstance(condition, Absent):
        return {"If-None-Match": "*"}
    return {"If-Match": condition.etag} if isinstance(condition, Unchanged) else {}


def _present(answer: Answer) -> Present:
    prefix = "x-amz-meta-"
    metadata = {name.removeprefix(prefix): value for name, value in answer.headers.items() if name.startswith(prefix)}
    return Present(answer.headers.get("etag", ""), int(answer.headers.get("content-length", "0")), metadata)


def _tree(body: bytes) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(body)  # noqa: S314 - bounded, from the configured store
    except ElementTree.ParseError as error:
        raise StoreError(Kind.TRANSIENT, "read the store's answer", f"it is not XML: {error}") from error


def _text(body: bytes, name: str) -> str:
    return next(iter(_texts(_tree(body), None, name)), "") if body.strip() else ""


def _texts(root: ElementTree.Element, parent: str | None, name: str) -> list[str]:
    holders = [root] if parent is None else [one for one in root.iter() if one.tag.rpartition("}")[2] == parent]
    return [(child.text or "") for one in holders for child in one if child.tag.rpartition("}")[2] == name]


def _moment(text: str) -> int:
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1_000_000_000)
    except ValueError:
        return 0


def _parts(body: Body, size: int) -> list[Body]:
    """A body in parts of ``size`` bytes, the last one shorter."""
    size = max(size, -(-body.length // (MOST_PARTS - 100)))
    parts: list[Body] = []
    present: list[Slice] = []
    room = size
    for piece in body.slices:
        offset, left = piece.offset, piece.length
        while left:
            taken = min(left, room)
            present.append(Slice(piece.path, offset, taken))
            offset, left, room = offset + taken, left - taken, room - taken
            if not room:
                parts.append(Body(tuple(present)))
                present, room = [], size
    if present:
        parts.append(Body(tuple(present)))
    return parts


def _ranges(size: int) -> list[tuple[int, int]]:
    """An object's bytes in spans that one UploadPartCopy can take, none of them too short for a part."""
    count = -(-size // LARGEST_PUT)
    step = -(-size // count)
    return [(start, min(start + step, size) - 1) for start in range(0, size, step)]
