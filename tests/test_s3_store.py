"""What requests make up a look, a list, a clean-up and an append, against an S3 that plays its answers."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import md5
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import pytest_twisted
from twisted.logger import globalLogPublisher

from lf6gateway.stores.memory import ABLE
from lf6gateway.stores.store import Absent, Body, Present, Slice, Unchanged
from lf6gateway.values.failure import Kind
from tests.scripted_s3 import (
    ABORTED,
    BEGUN,
    COMPLETED,
    MIB,
    PART,
    Play,
    Server,
    answer,
    body,
    error_xml,
    head_of,
    nothing_left,  # noqa: F401
    raw,
    s3_http,
    s3_store,
    scripted_server,  # noqa: F401
    steps,
    told,
)
from tests.test_s3_http import Renewing

TYPE = "application/gzip"
START_NS = 1_700_000_000_000_000_000
MINUTE_NS = 60 * 1_000_000_000
SEEN = raw(head_of(200, 3, ETag='"seen"', x_amz_meta_n="1"))


# A look.


@pytest.mark.parametrize("status", [400, 403])
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("RequestTimeTooSkewed", Kind.SKEWED),
        ("ExpiredToken", Kind.EXPIRED),
        ("AccessDenied", Kind.DENIED),
        ("NoSuchBucket", Kind.NO_BUCKET),
        ("AuthorizationHeaderMalformed", Kind.REGION),
        ("SignatureDoesNotMatch", Kind.DENIED),
        ("InvalidRequest", Kind.REFUSED),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_look_that_is_refused_asks_why(status: int, code: str, kind: Kind, server: Server) -> None:
    """The answer to HEAD has no body, and 400 and 403 can mean anything."""
    server.plays = [raw(head_of(status, 243)), answer(400 if kind is Kind.REFUSED else status, error_xml(code))]
    error = await told(s3_store(server.port).head("a"))
    assert (error.kind, error.applied) == (kind, False)
    assert code in error.detail
    assert [request.method for request in server.requests] == ["HEAD", "GET"]
    assert server.requests[1].headers["range"] == "bytes=0-0"


@pytest_twisted.ensureDeferred
async def test_a_denied_look_names_both_rights_it_may_lack(server: Server) -> None:
    server.plays = [raw(head_of(403, 243)), answer(403, error_xml("AccessDenied"))]
    assert (
        "allow s3:GetObject and s3:ListBucket on bucket insights"
        in (await told(s3_store(server.port).head("a"))).remedy
    )


@pytest_twisted.ensureDeferred
async def test_a_look_that_was_refused_for_a_moment_is_repeated(server: Server) -> None:
    server.plays = [raw(head_of(403, 243)), answer(206, b"x", ETag='"seen"'), SEEN]
    assert await s3_store(server.port).head("a") == Present('"seen"', 3, {"n": "1"})
    server.plays = [raw(head_of(403, 243)), answer(404, error_xml("NoSuchKey"))]
    assert await s3_store(server.port).head("a") is None


@pytest_twisted.ensureDeferred
async def test_a_look_with_keys_that_expired_goes_on_with_new_ones(server: Server) -> None:
    server.plays = [raw(head_of(400, 243)), answer(400, error_xml("ExpiredToken")), answer(206, b"x"), SEEN]
    store = s3_store(server.port)
    store._http = s3_http(server.port, credentials=Renewing("ONE", "TWO"))
    assert await store.head("a") == Present('"seen"', 3, {"n": "1"})


@pytest.mark.parametrize(
    ("status", "kind"),
    [(301, Kind.REGION), (307, Kind.TRANSIENT), (405, Kind.REFUSED), (500, Kind.TRANSIENT), (503, Kind.SLOW_DOWN)],
)
@pytest_twisted.ensureDeferred
async def test_a_look_is_told_by_its_status_where_that_is_enough(status: int, kind: Kind, server: Server) -> None:
    server.plays = [raw(head_of(status, 243)), answer(status, b""), raw(head_of(404, 243))]
    store = s3_store(server.port)
    assert (await told(store.head("a"))).kind is kind
    if kind is not Kind.REFUSED:
        server.plays = [raw(head_of(404, 243))]
    assert await store.head("a") is None


@pytest_twisted.ensureDeferred
async def test_a_look_in_the_wrong_region_names_the_right_one(server: Server) -> None:
    server.plays = [raw(head_of(400, 243, x_amz_bucket_region="eu-north-1"))]
    error = await told(s3_store(server.port).head("a"))
    assert error.kind is Kind.REGION
    assert error.remedy == "set aws.region (now us-east-1) to eu-north-1"


# Uploads that were left.


def initiated(ns: int) -> str:
    return datetime.fromtimestamp(ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def uploads(*each: tuple[str, str, str], encoded: bool = False, following: tuple[str, str] | None = None) -> Play:
    items = "".join(
        f"<Upload><Key>{key}</Key><UploadId>{upload}</UploadId><Initiated>{begun}</Initiated></Upload>"
        for key, upload, begun in each
    )
    if encoded:
        items += "<EncodingType>url</EncodingType>"
    if following is not None:
        items += "<IsTruncated>true</IsTruncated>"
        items += f"<NextKeyMarker>{following[0]}</NextKeyMarker><NextUploadIdMarker>{following[1]}</NextUploadIdMarker>"
    space = ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
    return answer(200, f"<ListMultipartUploadsResult{space}>{items}</ListMultipartUploadsResult>".encode())


def aborted(server: Server) -> list[str]:
    return [one.target.partition("uploadId=")[2] for one in server.requests if one.method == "DELETE"]


@pytest_twisted.ensureDeferred
async def test_uploads_of_before_are_given_up_and_no_others(server: Server) -> None:
    server.plays = [
        uploads(
            ("a", "old", initiated(START_NS - MINUTE_NS)),
            ("a", "clock", initiated(START_NS + 14 * MINUTE_NS)),
            ("a", "young", initiated(START_NS + 16 * MINUTE_NS)),
            ("a", "nobody-knows", "yesterday"),
            ("ab", "other", initiated(0)),
        ),
        ABORTED,
        answer(404, error_xml("NoSuchUpload")),
        ABORTED,
    ]
    assert await s3_store(server.port).abort_uploads("a", before_ns=START_NS) == 3
    assert aborted(server) == ["old", "clock", "nobody-knows"]
    assert dict(parse_qsl(server.requests[0].target.partition("?")[2]))["prefix"] == "a"


@pytest_twisted.ensureDeferred
async def test_more_uploads_than_one_list_holds_are_given_up_too(server: Server) -> None:
    begun = initiated(0)
    server.plays = [
        uploads(("a", "one", begun), following=("a", "one")),
        ABORTED,
        uploads(("a", "two", begun), following=("b", "other")),
        ABORTED,
    ]
    assert await s3_store(server.port).abort_uploads("a", before_ns=START_NS) == 2
    assert aborted(server) == ["one", "two"]
    query = dict(parse_qsl(server.requests[2].target.partition("?")[2], keep_blank_values=True))
    assert (query["key-marker"], query["upload-id-marker"]) == ("a", "one")
    assert len(server.requests) == 4


@pytest_twisted.ensureDeferred
async def test_a_list_of_uploads_that_turns_in_a_circle_ends(server: Server) -> None:
    server.plays = [uploads(following=("a", "one")), uploads(following=("a", "one"))]
    assert await s3_store(server.port).abort_uploads("a", before_ns=START_NS) == 0
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("key", "written"), [("a b+c/\ufffe", "a+b%2Bc%2F%EF%BF%BE"), ("a b", "a%20b"), ("100%", "100%25")]
)
@pytest_twisted.ensureDeferred
async def test_keys_that_xml_cannot_hold_are_found_in_lists(key: str, written: str, server: Server) -> None:
    item = f"<Contents><Key>{written}</Key></Contents><EncodingType>url</EncodingType>"
    listed = answer(200, f"<ListBucketResult>{item}</ListBucketResult>".encode())
    server.plays = [uploads((written, "left", initiated(0)), encoded=True), ABORTED, listed]
    store = s3_store(server.port)
    assert await store.abort_uploads(key, before_ns=START_NS) == 1
    assert await store.list_keys("") == [key]
    assert "encoding-type=url" in server.requests[0].target
    assert "encoding-type=url" in server.requests[2].target


@pytest_twisted.ensureDeferred
async def test_a_store_that_encodes_keys_without_saying_so_is_understood(server: Server) -> None:
    """Ceph's radosgw, in its lists of uploads."""
    server.plays = [uploads(("left/%C3%A4%20b%2Bc", "left", initiated(0))), ABORTED]
    assert await s3_store(server.port).abort_uploads("left/ä b+c", before_ns=START_NS) == 1


@pytest_twisted.ensureDeferred
async def test_a_store_that_writes_keys_as_they_are_is_believed(server: Server) -> None:
    server.plays = [uploads(("a+b", "left", initiated(0))), ABORTED]
    assert await s3_store(server.port).abort_uploads("a+b", before_ns=START_NS) == 1


@pytest_twisted.ensureDeferred
async def test_a_disk_that_fails_in_the_middle_of_an_upload_has_it_given_up(server: Server, tmp_path: Path) -> None:
    def fails(path: str, offset: int, length: int) -> bytes:
        raise OSError(5, "Input/output error")

    server.plays = [BEGUN, ABORTED]
    store = s3_store(server.port)
    store._read = fails
    with pytest.raises(OSError):
        await store.put_parts("a", None, body(tmp_path, b"x"), metadata={}, content_type=TYPE, condition=None)
    assert steps(server) == ["POST uploads", "DELETE uploadId"]


# What follows from what a store honours.


async def growing(server: Server, tmp_path: Path, **honours: Any) -> None:
    store = s3_store(server.port)
    store._found = replace(ABLE, **honours)
    await store.append("a", Present('"e"', 6 * MIB), body(tmp_path, b"x"), metadata={}, content_type=TYPE)


COPIED = answer(200, b'<CopyPartResult><ETag>"copied"</ETag></CopyPartResult>')


@pytest_twisted.ensureDeferred
async def test_an_append_is_guarded_where_the_copy_and_where_it_is_put_together(server: Server, tmp_path: Path) -> None:
    server.plays = [BEGUN, COPIED, PART, COMPLETED]
    await growing(server, tmp_path)
    _, copy, part, completed = server.requests
    assert copy.headers["x-amz-copy-source"] == "/insights/a"
    assert copy.headers["x-amz-copy-source-if-match"] == '"e"'
    assert "x-amz-copy-source-range" not in copy.headers
    assert part.headers["content-md5"] == b64encode(md5(b"x").digest()).decode()
    assert completed.headers["if-match"] == '"e"'


@pytest_twisted.ensureDeferred
async def test_conditions_that_would_be_refused_are_not_sent(server: Server, tmp_path: Path) -> None:
    same = raw(head_of(200, 6 * MIB, ETag='"e"'))
    server.plays = [same, BEGUN, COPIED, PART, same, COMPLETED]
    await growing(server, tmp_path, copy_if_match=False, complete_if_match=False, part_checksum=None)
    assert steps(server) == ["HEAD ", "POST uploads", "PUT partNumber", "PUT partNumber", "HEAD ", "POST uploadId"]
    sent = set().union(*(request.headers for request in server.requests))
    assert not sent & {"x-amz-copy-source-if-match", "if-match", "content-md5"}


@pytest.mark.parametrize("kind", ["md5", "sha256", "crc32c"])
@pytest_twisted.ensureDeferred
async def test_each_part_carries_the_checksum_that_the_store_takes(kind: str, server: Server, tmp_path: Path) -> None:
    server.plays = [BEGUN, COPIED, PART, COMPLETED]
    await growing(server, tmp_path, part_checksum=kind)
    header = "content-md5" if kind == "md5" else f"x-amz-checksum-{kind}"
    assert server.requests[2].headers[header]


@pytest_twisted.ensureDeferred
async def test_a_whole_object_is_compared_before_it_replaces_another_and_one_warning_says_so(
    server: Server, tmp_path: Path
) -> None:
    store = s3_store(server.port)
    store._found = replace(ABLE, put_if_match=False, complete_if_match=False)
    warnings: list[dict[str, Any]] = []

    def watch(event: dict[str, Any]) -> None:
        if "ignores some conditions" in str(event.get("log_format")):
            warnings.append(event)

    globalLogPublisher.addObserver(watch)
    try:
        server.plays = [SEEN, answer(200, ETag='"new"'), raw(head_of(200, 3, ETag='"other"'))]
        content = body(tmp_path, b"abc")
        write = {"metadata": {}, "content_type": TYPE, "condition": Unchanged('"seen"')}
        assert (await store.put("a", content, **write)).etag == '"new"'  # type: ignore[arg-type]
        assert (await told(store.put("a", content, **write))).kind is Kind.CONFLICT  # type: ignore[arg-type]
    finally:
        globalLogPublisher.removeObserver(watch)
    assert [request.method for request in server.requests] == ["HEAD", "PUT", "HEAD"]
    assert "if-match" not in server.requests[1].headers
    assert len(warnings) == 1


@pytest_twisted.ensureDeferred
async def test_a_first_object_is_looked_for_where_the_store_ignores_that_it_must_be_absent(
    server: Server, tmp_path: Path
) -> None:
    store = s3_store(server.port)
    store._found = replace(ABLE, put_if_absent=False, complete_if_absent=False)
    server.plays = [raw(head_of(404, 0)), answer(200, ETag='"new"'), SEEN]
    content = body(tmp_path, b"abc")
    assert (await store.put("a", content, metadata={}, content_type=TYPE, condition=Absent())).etag == '"new"'
    late = store.put("a", content, metadata={}, content_type=TYPE, condition=Absent())
    assert (await told(late)).kind is Kind.CONFLICT
    assert "if-none-match" not in server.requests[1].headers


@pytest_twisted.ensureDeferred
async def test_a_put_without_an_etag_that_another_writer_followed_is_not_certain(
    server: Server, tmp_path: Path
) -> None:
    server.plays = [answer(200), raw(head_of(200, 4, ETag='"other"'))]
    error = await told(s3_store(server.port).put("a", body(tmp_path, b"abc"), metadata={}, content_type=TYPE))
    assert (error.kind, error.applied) == (Kind.TRANSIENT, None)


@pytest.mark.parametrize("completed", [b"", b"<CompleteMultipartUploadResult><ETag/></CompleteMultipartUploadResult>"])
@pytest_twisted.ensureDeferred
async def test_a_completion_without_an_etag_is_looked_at(completed: bytes, server: Server, tmp_path: Path) -> None:
    """Older Ceph answers so."""
    server.plays = [BEGUN, PART, answer(200, completed), raw(head_of(200, 3, ETag='"seen"'))]
    work = s3_store(server.port).put_parts(
        "a", None, body(tmp_path, b"abc"), metadata={}, content_type=TYPE, condition=None
    )
    assert await work == Present('"seen"', 3)


@pytest_twisted.ensureDeferred
async def test_an_object_that_one_copy_cannot_take_is_copied_in_spans(server: Server, tmp_path: Path) -> None:
    server.plays = [BEGUN, COPIED, COPIED, PART, COMPLETED]
    size = 5 * 1024 * MIB + 2
    grown = await s3_store(server.port).append(
        "a",
        Present('"e"', size),
        Body((Slice(body(tmp_path, b"x").slices[0].path, 6, 1),)),
        metadata={},
        content_type=TYPE,
    )
    assert grown == Present('"whole"', size + 1)
    half = size // 2
    ranges = [request.headers.get("x-amz-copy-source-range") for request in server.requests[1:3]]
    assert ranges == [f"bytes=0-{half - 1}", f"bytes={half}-{size - 1}"]


@pytest.mark.parametrize(
    ("kind", "header", "value"),
    [
        ("sha256", "x-amz-checksum-sha256", "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="),
        ("crc32c", "x-amz-checksum-crc32c", "Nks/tw=="),
        ("md5", "content-md5", "kAFQmDzST7DWlj99KOF/cg=="),
        (None, "", ""),
    ],
)
@pytest_twisted.ensureDeferred
async def test_each_upload_carries_the_checksum_that_the_store_takes(
    kind: str | None, header: str, value: str, server: Server, tmp_path: Path
) -> None:
    store = s3_store(server.port)
    store._found = replace(ABLE, checksum=kind)
    server.plays = [answer(200, ETag='"e"')]
    await store.put("a", body(tmp_path, b"abc"), metadata={}, content_type=TYPE)
    sent = server.requests[0].headers
    assert {name: sent[name] for name in sent if "checksum" in name or name == "content-md5"} == (
        {header: value} if header else {}
    )


@pytest_twisted.ensureDeferred
async def test_long_metadata_go_in_pieces_where_the_store_takes_no_others(server: Server, tmp_path: Path) -> None:
    store = s3_store(server.port)
    store._found = replace(ABLE, metadata_longest=4)
    back = raw(head_of(200, 1, ETag='"e"', x_amz_meta_uri="abcd", x_amz_meta_uri_part2="ef"))
    server.plays = [answer(200, ETag='"e"'), BEGUN, PART, COMPLETED, back]
    content, metadata = body(tmp_path, b"x"), {"uri": "abcdef"}
    await store.put("a", content, metadata=metadata, content_type=TYPE)
    await store.put_parts("a", None, content, metadata=metadata, content_type=TYPE, condition=None)
    for request in server.requests[:2]:
        assert (request.headers["x-amz-meta-uri"], request.headers["x-amz-meta-uri-part2"]) == ("abcd", "ef")
    assert await store.head("a") == Present('"e"', 1, metadata)


@pytest.mark.parametrize("content", [b"abc", b""])
@pytest_twisted.ensureDeferred
async def test_an_object_goes_in_parts_where_half_of_one_would_be_kept(
    content: bytes, server: Server, tmp_path: Path
) -> None:
    store = s3_store(server.port)
    store._found = replace(ABLE, put_whole=False)
    server.plays = [BEGUN, PART, COMPLETED]
    put = store.put("a", body(tmp_path, content), metadata={}, content_type=TYPE, condition=Absent())
    assert await put == Present('"whole"', len(content))
    assert steps(server) == ["POST uploads", "PUT partNumber", "POST uploadId"]
    assert server.requests[1].body == content
    assert server.requests[2].headers["if-none-match"] == "*"
