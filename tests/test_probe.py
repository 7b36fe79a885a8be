"""What a store honours is found out by trying, on a store of which each ability can be switched."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import md5, sha256

import google_crc32c
import pytest

from lf6gateway.disk.offload import inline
from lf6gateway.stores.answers import Answer
from lf6gateway.stores.http import Bucket
from lf6gateway.stores.producer import digests
from lf6gateway.stores.s3 import S3Store
from lf6gateway.stores.s3_errors import classify
from lf6gateway.stores.signing import EMPTY_SHA256
from lf6gateway.stores.store import Body, Capabilities
from lf6gateway.values.failure import Kind, StoreError
from tests.deferreds import result_of

CHECKSUMS: dict[str, Callable[[bytes], bytes]] = {
    "content-md5": lambda data: md5(data).digest(),
    "x-amz-checksum-sha256": lambda data: sha256(data).digest(),
    "x-amz-checksum-crc32c": lambda data: google_crc32c.value(data).to_bytes(4, "big"),
}


@dataclass
class Model:
    """One bucket in memory, in the place of ``S3Http``.

    :param conditions: which of ``put absent``, ``put match``, ``complete absent``, ``complete match``, ``copy`` and
        ``copy match`` it heeds; a condition it does not heed is ignored.
    :param refused: those of them, and the checksum headers, that it answers 501.
    :param own_etags: conditions in which it wants ETags without their quotes.
    :param demands: whether a write without a checksum is refused, as in a bucket with Object Lock.
    """

    conditions: frozenset[str] = frozenset(
        {"put absent", "put match", "complete absent", "complete match", "copy", "copy match"}
    )
    refused: frozenset[str] = frozenset()
    verifies: frozenset[str] = frozenset(CHECKSUMS)
    own_etags: frozenset[str] = frozenset()
    demands: bool = False
    longest: int = 2000
    whole: bool = True
    objects: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, bytes] = field(default_factory=dict)
    sent: list[tuple[str, str, Mapping[str, str]]] = field(default_factory=list)
    bucket: Bucket = field(default_factory=lambda: Bucket("b", "http://b", "r"))

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
        lower = {name.lower(): value for name, value in (headers or {}).items()}
        self.sent.append((method, " ".join(name for name, _ in query), lower))
        if body is not None:
            with pytest.raises(StoreError):
                digests(body)
            if not self.whole:
                self.objects[key] = b"half"
            raise StoreError(Kind.DAMAGED, method, "a file ends before its end", applied=False)
        status, told, content = self.served(method, key, dict(query), lower, data or b"")
        if status < 300:
            return Answer(status, told, content)
        raise classify(status=status, headers=told, body=content, what=method, action=action, bucket="b", region="r")

    async def stream(self, key: str, headers: Mapping[str, str], span: object = None) -> AsyncIterator[bytes]:
        raise AssertionError("a trial reads nothing")
        yield b""

    def served(
        self, method: str, key: str, query: dict[str, str], headers: dict[str, str], data: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        upload = query.get("uploadId", "")
        if method == "HEAD":
            found = self.objects.get(key)
            return (
                (404, {}, b"")
                if found is None
                else (200, {"etag": etag(found), "content-length": str(len(found))}, b"")
            )
        if method == "GET":
            return (206, {}, b"x") if key in self.objects else error(404, "NoSuchKey")
        if method == "DELETE":
            (self.uploads if upload else self.objects).pop(upload or key, None)
            return 204, {}, b""
        if method == "POST" and "uploads" in query:
            self.uploads["up"] = b""
            return 200, {}, b"<R><UploadId>up</UploadId></R>"
        if "x-amz-copy-source" in headers:
            return self._copied(key, upload, headers)
        if any(name.startswith("x-amz-meta-") and len(value) > self.longest for name, value in headers.items()):
            return error(400, "InvalidRequest")
        damaged = self._damaged(headers, data)
        if method == "PUT" and damaged is not None:
            return damaged
        if upload and method == "PUT":
            self.uploads[upload] = data
            return 200, {"etag": etag(data)}, b""
        refused = self._refused("complete" if upload else "put", key, headers)
        if refused is not None:
            return refused
        self.objects[key] = self.uploads.pop(upload) if upload else data
        return 200, {"etag": etag(self.objects[key])}, b""

    def _copied(self, key: str, upload: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        if "copy" in self.refused:
            return error(501, "NotImplemented")
        wanted = headers.get("x-amz-copy-source-if-match")
        if wanted is not None and not self._fits("copy match", key, wanted):
            return error(412, "PreconditionFailed")
        self.uploads[upload] = self.objects[key]
        return (
            200,
            {},
            f"<R><ETag>{etag(self.objects[key])}</ETag></R>".encode() if "copy" in self.conditions else b"<R/>",
        )

    def _damaged(self, headers: dict[str, str], data: bytes) -> tuple[int, dict[str, str], bytes] | None:
        carried = [name for name in CHECKSUMS if name in headers]
        for name in carried:
            if name in self.refused:
                return error(501, "NotImplemented")
            if name in self.verifies and b64decode(headers[name]) != CHECKSUMS[name](data):
                return error(400, "BadDigest")
        return error(400, "InvalidRequest") if self.demands and not carried else None

    def _refused(self, request: str, key: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes] | None:
        for header, name in (("if-none-match", f"{request} absent"), ("if-match", f"{request} match")):
            if header not in headers:
                continue
            if name in self.refused:
                return error(501, "NotImplemented")
            if header == "if-none-match" and name in self.conditions and key in self.objects:
                return error(412, "PreconditionFailed")
            if header == "if-match" and not self._fits(name, key, headers[header]):
                return error(412, "PreconditionFailed")
        return None

    def _fits(self, name: str, key: str, wanted: str) -> bool:
        own = etag(self.objects[key])
        return name not in self.conditions or wanted == (own.strip('"') if name in self.own_etags else own)


def etag(data: bytes) -> str:
    return f'"{md5(data).hexdigest()}"'


def error(status: int, code: str) -> tuple[int, dict[str, str], bytes]:
    return status, {}, f"<Error><Code>{code}</Code></Error>".encode()


def tried(model: Model) -> Capabilities:
    found = result_of(S3Store(model, offload=inline, part_bytes=5 << 20, probe_key="probe").capabilities())
    assert model.objects == {}
    assert model.uploads == {}
    return found


ALL = Model().conditions
FIELDS = {
    "put absent": "put_if_absent",
    "put match": "put_if_match",
    "complete absent": "complete_if_absent",
    "complete match": "complete_if_match",
    "copy": "part_copy",
    "copy match": "copy_if_match",
}


def test_a_store_that_honours_everything_is_found_to() -> None:
    assert tried(Model()) == Capabilities(
        put_if_absent=True,
        put_if_match=True,
        complete_if_match=True,
        complete_if_absent=True,
        part_copy=True,
        copy_if_match=True,
        checksum="sha256",
        checksum_verified=True,
        part_checksum="md5",
    )


@pytest.mark.parametrize(
    ("name", "how"),
    [
        *((name, "ignored") for name in sorted(ALL)),
        *((name, "refused") for name in sorted(ALL - {"copy match"})),
        *((name, "own etags") for name in sorted(ALL) if "match" in name),
    ],
)
def test_each_ability_is_found_by_itself(name: str, how: str) -> None:
    """One that is ignored, refused, or compares in a way of its own is as good as none; the others are found all the
    same. A copy whose answer has no ETag cannot be put together."""
    if how == "ignored":
        model = Model(conditions=ALL - {name})
    else:
        model = Model(refused=frozenset({name})) if how == "refused" else Model(own_etags=frozenset({name}))
    found = tried(model)
    missing = {name} | ({"copy match"} if name == "copy" else set())
    assert {field for field in FIELDS.values() if not getattr(found, field)} == {FIELDS[one] for one in missing}


@pytest.mark.parametrize(
    ("refused", "verifies", "demands", "checksum", "verified", "part"),
    [
        ([], CHECKSUMS, False, "sha256", True, "md5"),
        (["x-amz-checksum-sha256"], CHECKSUMS, False, "crc32c", True, "md5"),
        (["x-amz-checksum-sha256", "x-amz-checksum-crc32c"], CHECKSUMS, False, "md5", True, "md5"),
        (["content-md5"], CHECKSUMS, False, "sha256", True, "sha256"),
        (CHECKSUMS, CHECKSUMS, False, None, False, None),
        ([], ["content-md5"], False, "md5", True, "md5"),
        ([], [], False, "sha256", False, "md5"),
        (["x-amz-checksum-sha256"], [], True, "crc32c", False, "md5"),
        (["x-amz-checksum-sha256", "x-amz-checksum-crc32c"], CHECKSUMS, True, "md5", True, "md5"),
    ],
)
def test_the_checksum_is_one_the_store_takes_and_if_possible_verifies(
    refused: list[str], verifies: list[str], demands: bool, checksum: str | None, verified: bool, part: str | None
) -> None:
    """Some stores answer 501 to some, and a bucket with Object Lock demands one."""
    model = Model(refused=frozenset(refused), verifies=frozenset(verifies), demands=demands)
    found = tried(model)
    assert (found.checksum, found.checksum_verified, found.part_checksum) == (checksum, verified, part)


def test_a_store_that_demands_a_checksum_and_takes_none_is_told() -> None:
    model = Model(refused=frozenset(CHECKSUMS), demands=True)
    with pytest.raises(StoreError) as told:
        tried(model)
    assert told.value.kind is Kind.REFUSED


def test_every_upload_of_a_trial_carries_the_checksum() -> None:
    model = Model(refused=frozenset({"x-amz-checksum-sha256"}), demands=True)
    tried(model)
    puts = [headers for method, query, headers in model.sent if method == "PUT" and "x-amz-copy-source" not in headers]
    assert all(any(name in headers for name in CHECKSUMS) for headers in puts)


def test_a_store_that_keeps_half_an_object_is_found_out() -> None:
    assert tried(Model()).put_whole
    assert not tried(Model(whole=False)).put_whole


@pytest.mark.parametrize(("longest", "found"), [(2000, None), (1500, None), (1499, 250), (256, 250), (100, None)])
def test_the_longest_metadata_are_found(longest: int, found: int | None) -> None:
    """Swift takes 256 bytes of a value."""
    assert tried(Model(longest=longest)).metadata_longest == found


class Failing(Model):
    """Fails at one request."""

    def __init__(self, at: int, kind: str) -> None:
        super().__init__()
        self.at = at
        self.kind = kind

    def served(self, *request: object) -> tuple[int, dict[str, str], bytes]:
        if len(self.sent) == self.at:
            return error(*{"away": (503, "SlowDown"), "denied": (403, "AccessDenied")}[self.kind])
        return super().served(*request)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["away", "denied"])
def test_a_trial_that_fails_anywhere_tells_nothing_wrong_and_is_repeated(kind: str) -> None:
    model = Model()
    good = tried(model)
    for at in range(1, len(model.sent) + 1):
        failing = Failing(at, kind)
        store = S3Store(failing, offload=inline, part_bytes=5 << 20, probe_key="probe")
        try:
            found = result_of(store.capabilities())
        except StoreError as told:
            assert told.kind in (Kind.SLOW_DOWN, Kind.DENIED)
            found = result_of(store.capabilities())
        assert found == good, at


def test_a_conflict_that_is_told_of_a_missing_key_proves_no_condition() -> None:
    class Odd(Model):
        def served(self, *request: object) -> tuple[int, dict[str, str], bytes]:
            headers = request[3]
            if isinstance(headers, dict) and "if-match" in headers:
                return error(404, "NoSuchKey")
            return super().served(*request)  # type: ignore[arg-type]

    found = tried(Odd())
    assert not found.put_if_match
    assert not found.complete_if_match
