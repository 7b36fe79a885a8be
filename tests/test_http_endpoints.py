"""What each path answers: every line of the contract's HTTP section, over a connection in memory."""

from __future__ import annotations

import gzip
import json
import random
import zlib

import pytest
import zstandard

from lf6gateway.disk.space import Refusal
from lf6gateway.disk.unavailable import SpoolUnavailable
from lf6gateway.edges.message import Fields
from lf6gateway.values.limits import Limits
from lf6gateway.values.problem import Problem, Refused
from lf6gateway.values.stream import Stream
from tests.http_support import START_NS, Backend, Gateway, HandOffload, chunked, each_channel, request

pytestmark = pytest.mark.usefixtures("each_channel")
__all__ = ["each_channel"]

NDJSON = "Content-Type: application/x-ndjson"
SMALL = Limits(max_report=1_000, max_batch=5_000, max_specimen=200_000)


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize(("path", "other"), [("/usage", "error"), ("/error", "usage")])
def test_a_report_is_kept_and_acknowledged(method: str, path: str, other: str) -> None:
    gateway = Gateway()
    reply = gateway.ask(request(method, path, b'{"a":\r\n1}\n', "X-Request-Id: r-1"))
    assert reply.status == 204
    assert reply.body == b""
    assert reply.header("x-request-id") == "r-1"
    assert reply.header("content-type") is None
    assert reply.header("content-length") is None
    assert reply.header("server") is None
    assert reply.header("date") is not None
    [entry] = getattr(gateway.backend, path[1:]).entries
    assert (entry.user, entry.lines, entry.count, entry.key, entry.request_id) == (
        "alice",
        b'{"a":  1}\n',
        1,
        None,
        "r-1",
    )
    assert entry.received_ns == START_NS
    assert not getattr(gateway.backend, other).entries


def test_no_acknowledgement_before_the_record_is_on_stable_storage() -> None:
    gateway = Gateway()
    gateway.backend.usage.by_hand = True
    connection = gateway.connect()
    connection.send(request("PUT", "/usage", b"1"))
    assert connection.raw == b""
    gateway.clock.advance(3_600)  # no time-out of the connection's is about an answer of ours
    assert connection.raw == b""
    gateway.backend.usage.flush()
    assert connection.reply().status == 204


@pytest.mark.parametrize(
    "content_type",
    ["application/x-ndjson", "Application/X-NDJSON; charset=utf-8", "application/ndjson", "application/jsonl"],
)
def test_a_batch_is_kept_as_one(content_type: str) -> None:
    gateway = Gateway()
    assert gateway.ask(request("PUT", "/error", b'{"a":1}\r\n\n[2]', f"Content-Type: {content_type}")).status == 204
    [entry] = gateway.backend.error.entries
    assert (entry.lines, entry.count) == (b'{"a":1}\n[2]\n', 2)


def test_one_bad_line_refuses_a_batch_whole_with_its_place() -> None:
    gateway = Gateway()
    reply = gateway.ask(request("PUT", "/usage", b'{"a":1}\n{"a":nope}\n', NDJSON))
    assert reply.status == 400
    assert (reply.problem["line"], reply.problem["column"]) == (2, 6)
    assert "line 2, column 6" in reply.problem["detail"]
    assert gateway.backend.usage.entries == []


@pytest.mark.parametrize(
    "body",
    [b"", b" \n", b"{", b'{"a":NaN}', b"[Infinity]", b'"\xff"', b"\xef\xbb\xbf1", b"[" * 100_000, b'{"a":1}\n{"b":2}'],
)
def test_what_is_not_one_json_value_is_refused(body: bytes) -> None:
    gateway = Gateway()
    reply = gateway.ask(request("PUT", "/usage", body))
    assert reply.status == 400
    assert reply.problem["type"].endswith(":invalid-json")
    assert reply.problem["line"] >= 1
    assert gateway.backend.usage.entries == []


def test_numbers_of_any_size_and_duplicate_keys_survive() -> None:
    gateway = Gateway()
    body = b'{"n":' + b"123456789" * 100 + b',"n":1e99999}'
    assert gateway.ask(request("PUT", "/usage", body)).status == 204
    assert gateway.backend.usage.lines == body + b"\n"


# Who.


@pytest.mark.parametrize("path", ["/usage", "/error", "/specimen?uri=a"])
@pytest.mark.parametrize(
    "header", [None, "USER_TOKEN:", "User-Token:  ", "Authorization: Basic YTpi", "Authorization: Bearer "]
)
def test_who_names_no_user_is_not_let_in(path: str, header: str | None) -> None:
    gateway = Gateway()
    reply = gateway.ask(request("PUT", path, b"1", *([header] if header else []), user=None))
    assert reply.status == 401
    assert reply.problem["type"].endswith(":no-user")
    assert reply.header("www-authenticate") is not None
    assert not gateway.backend.usage.entries and not gateway.backend.specimens.begun


@pytest.mark.parametrize(
    ("headers", "user"),
    [
        (["USER_TOKEN: a b"], "a b"),
        (["user_token: alice"], "alice"),
        (["User-Token: alice"], "alice"),
        (["Authorization: Bearer alice"], "alice"),
        (["authorization: bearer   alice"], "alice"),
        (["User-Token: second", "USER_TOKEN: first", "Authorization: Bearer third"], "first"),
        (["USER_TOKEN:", "Authorization: Bearer third", "User-Token: second"], "second"),
        (["USER_TOKEN:", "Authorization: Bearer third"], "third"),
        (["USER_TOKEN: \u00c3\u00a9"], "\u00e9"),  # latin-1 here is UTF-8 on the wire
        ([f"USER_TOKEN: {'x' * 128}"], "x" * 128),
        (["USER_TOKEN: ..."], "..."),
    ],
)
def test_the_first_token_that_is_not_empty_names_the_user(headers: list[str], user: str) -> None:
    gateway = Gateway()
    assert gateway.ask(request("PUT", "/usage", b"1", *headers, user=None)).status == 204
    assert gateway.backend.usage.entries[0].user == user


@pytest.mark.parametrize("name", ["../../x", "a/b", "a\\b", ".", "..", "x" * 129, "a\xc2\x80b", "\xff", "a\tb"])
@pytest.mark.parametrize("header", ["USER_TOKEN: {}", "Authorization: Bearer {}"])
def test_names_that_nobody_has_are_refused(name: str, header: str) -> None:
    gateway = Gateway()
    reply = gateway.ask(request("PUT", "/usage", b"1", header.format(name), user=None))
    assert reply.status == 400
    # llhttp takes no header with a DEL in it at all.
    assert reply.problem["type"].endswith(
        (":invalid-user", ":malformed-request") if "\x7f" in name else ":invalid-user"
    )
    assert gateway.backend.usage.entries == []


def test_another_way_to_identify_takes_the_place() -> None:
    def identify(fields: Fields, stream: Stream) -> str:
        if fields(b"x-badge") != [b"7"]:
            raise Refused(Problem(403, "no-badge", "Forbidden", "show a badge"))
        return f"{stream.value}-seven"

    gateway = Gateway(identify=identify)
    assert gateway.ask(request("PUT", "/usage", b"1")).problem["status"] == 403
    assert gateway.ask(request("PUT", "/error", b"1", "X-Badge: 7")).status == 204
    assert gateway.backend.error.entries[0].user == "error-seven"


# Encodings.

ENCODE = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.mark.parametrize("coding", ENCODE)
def test_compressed_bodies_are_decoded(coding: str) -> None:
    gateway = Gateway()
    assert (
        gateway.ask(request("PUT", "/usage", ENCODE[coding](b'{"a":1}'), f"Content-Encoding: {coding}")).status == 204
    )
    batch = ENCODE[coding](b'{"a":2}\n' * 1_000)
    assert gateway.ask(request("PUT", "/usage", batch, f"Content-Encoding: {coding}", NDJSON), cut=77).status == 204
    specimen = ENCODE[coding](b"picture" * 10_000)
    sent = request("PUT", "/specimen?uri=x.png", specimen, f"Content-Encoding: {coding}")
    assert gateway.ask(sent, cut=61).status == 204
    assert [entry.count for entry in gateway.backend.usage.entries] == [1, 1_000]
    assert [bytes(writer.body) for writer in gateway.backend.specimens.kept] == [b"picture" * 10_000]


@pytest.mark.parametrize("coding", ENCODE)
def test_what_is_not_what_its_encoding_says_is_refused(coding: str) -> None:
    gateway = Gateway()
    whole = ENCODE[coding](b'{"a":1}' + b" " * 500)
    for body in (whole[:-1], b"{}", whole + b"x", b""):
        for target in ("/usage", "/specimen?uri=a"):
            reply = gateway.ask(request("PUT", target, body, f"Content-Encoding: {coding}"))
            assert reply.status == 400
            assert reply.problem["type"].endswith(":invalid-encoding")
    assert gateway.backend.usage.entries == [] and gateway.backend.specimens.kept == []
    assert {writer.state for writer in gateway.backend.specimens.begun} == {"aborted"}


@pytest.mark.parametrize("coding", ["gzip", "deflate", "zstd"])
def test_a_bomb_is_too_large(coding: str) -> None:
    gateway = Gateway(SMALL)
    bomb = ENCODE[coding](bytes(50_000_000))
    assert len(bomb) < 60_000
    reply = gateway.ask(request("PUT", "/specimen?uri=a", bomb, f"Content-Encoding: {coding}"))
    assert reply.status == 413
    [writer] = gateway.backend.specimens.begun
    assert writer.state == "aborted"
    small_bomb = ENCODE[coding](b" " * 100_000)
    assert len(small_bomb) < 1_000
    for headers in ([], [NDJSON]):
        reply = gateway.ask(request("PUT", "/usage", small_bomb, f"Content-Encoding: {coding}", *headers))
        assert reply.status == 413
    assert gateway.backend.usage.entries == []


@pytest.mark.parametrize("sent", ["br", "gzip, gzip", "compress"])
def test_other_encodings_are_not_taken(sent: str) -> None:
    for target in ("/usage", "/specimen?uri=a"):
        reply = Gateway().ask(request("PUT", target, b"1", f"Content-Encoding: {sent}"))
        assert reply.status == 415
        assert reply.header("accept-encoding") == "gzip, deflate, zstd"
        assert reply.problem["type"].endswith(":unsupported-encoding")


# Sizes.


def test_a_body_may_be_as_large_as_its_limit_and_no_larger() -> None:
    gateway = Gateway(SMALL)
    for target, headers, most in (
        ("/usage", (), 1_000),
        ("/usage", (NDJSON,), 5_000),
        ("/specimen?uri=a", (), 200_000),
    ):
        fits = b"1\n" * (most // 2) if headers else b'"' + b"x" * (most - 2) + b'"'
        assert gateway.ask(request("PUT", target, fits, *headers)).status == 204
        assert gateway.ask(chunked("PUT", target, [fits], *headers)).status == 204
        for sent in (request("PUT", target, fits + b" ", *headers), chunked("PUT", target, [fits, b" "], *headers)):
            reply = gateway.ask(sent, cut=1_000)
            assert reply.status == 413
            assert reply.problem["limit"] == most
    assert len(gateway.backend.usage.entries) == 4
    assert len(gateway.backend.specimens.kept) == 2
    assert {writer.state for writer in gateway.backend.specimens.begun} == {"committed", "aborted"}


def test_a_record_of_a_batch_may_not_be_larger_than_a_report() -> None:
    gateway = Gateway(SMALL)
    body = b"1\n" + b'"' + b"x" * 998 + b'"\n'
    assert gateway.ask(request("PUT", "/usage", body, NDJSON)).status == 204
    reply = gateway.ask(request("PUT", "/usage", b'1\n"' + b"x" * 999 + b'"\n', NDJSON))
    assert reply.status == 413
    assert reply.problem["line"] == 2


@pytest.mark.parametrize("target", ["/usage", "/error", "/specimen?uri=a"])
def test_a_body_has_a_length_or_comes_in_chunks(target: str) -> None:
    gateway = Gateway()
    assert gateway.ask(request("PUT", target)).problem["status"] == 411
    assert gateway.ask(request("POST", target, version="HTTP/1.0")).problem["status"] == 411
    assert gateway.ask(chunked("PUT", target, [b"[1", b",2]"]), cut=1).status == 204


def test_an_empty_specimen_is_one() -> None:
    gateway = Gateway()
    assert gateway.ask(request("PUT", "/specimen?uri=a", b"")).status == 204
    assert gateway.ask(chunked("PUT", "/specimen?uri=a", [])).status == 204
    assert [bytes(writer.body) for writer in gateway.backend.specimens.kept] == [b"", b""]


def test_records_in_memory_have_a_limit_over_all_requests() -> None:
    gateway = Gateway(Limits(max_waiting=3_000_000))
    first = gateway.connect()
    first.send(request("PUT", "/usage", b"1" + b" " * 2_000_100 + b"\n1", NDJSON)[:-2])
    reply = gateway.ask(request("PUT", "/usage", b" " * 1_000_000 + b"1"))
    assert reply.status == 503
    assert reply.header("retry-after") == "1"
    assert reply.problem["reason"] == "overloaded"
    second = gateway.connect()
    second.send(chunked("PUT", "/usage", [b" " * 600_000, b" " * 600_000, b"1"], NDJSON))
    assert second.reply().status == 503
    first.send(b"\n1")
    assert first.reply().status == 204
    assert gateway.resource.door.memory.held == 0
    assert gateway.ask(request("PUT", "/usage", b" " * 1_000_000 + b"1")).status == 204
    third = gateway.connect()
    third.send(request("PUT", "/usage", b" " * 1_000_000)[:-10])
    assert gateway.resource.door.memory.held > 900_000
    third.hang_up()
    assert gateway.resource.door.memory.held == 0


# Specimens.


def test_a_specimen_is_kept_with_what_is_known_of_it() -> None:
    gateway = Gateway()
    target = "/specimen?x=1&uri=file%3A%2F%2F%2FC%3A%2Fa+b%2F%C3%A9.png&y"
    reply = gateway.ask(
        request("PUT", target, b"\x00\xff", "Content-Type: image/png", "X-Request-Id: s", "Idempotency-Key: k")
    )
    assert reply.status == 204
    [writer] = gateway.backend.specimens.kept
    assert bytes(writer.body) == b"\x00\xff"
    assert writer.about == {
        "received_ns": START_NS,
        "user": "alice",
        "uri": "file:///C:/a b/\u00e9.png",
        "content_type": "image/png",
        "key": "k",
        "request_id": "s",
    }


@pytest.mark.parametrize(
    "query", ["", "?", "?uri", "?uri=", "?URI=a", "?uri=a&uri=b", "?uri=a&uri=", "?uri=%ff", "?uri=%C3"]
)
def test_a_specimen_without_one_uri_is_refused(query: str) -> None:
    gateway = Gateway()
    reply = gateway.ask(request("PUT", f"/specimen{query}", b"x"))
    assert reply.status == 400
    assert reply.problem["type"].endswith(":invalid-uri")
    assert gateway.backend.specimens.begun == []


def test_a_long_uri_loses_no_specimen() -> None:
    gateway = Gateway()
    assert gateway.ask(request("PUT", "/specimen?uri=" + "%C3%A9" * 4_000, b"x")).status == 204
    assert gateway.backend.specimens.kept[0].about["uri"] == "\u00e9" * 4_000


def test_the_sender_waits_while_the_disk_is_behind() -> None:
    gateway = Gateway()
    gateway.backend.specimens.by_hand = True
    connection = gateway.connect()
    body = bytes(5_000_000)
    sent = request("PUT", "/specimen?uri=a", body)
    at = 0
    drains = 0
    while at < len(sent):
        if connection.paused:
            gateway.backend.specimens.begun[0].drain()
            drains += 1
            assert not connection.paused
        connection.send(sent[at : at + 65_536])
        at += 65_536
    [writer] = gateway.backend.specimens.begun
    assert drains >= 4
    assert writer.most_waiting <= 1024 * 1024 + 65_536
    assert connection.raw == b""
    writer.drain()
    assert connection.reply().status == 204
    connection.send(request("GET", "/health"))
    assert connection.reply().status == 200


def test_a_disk_that_fails_while_the_sender_waits_is_told_at_once() -> None:
    gateway = Gateway()
    gateway.backend.specimens.by_hand = True
    connection = gateway.connect()
    connection.send(request("PUT", "/specimen?uri=a", bytes(3_000_000))[:2_000_000])
    [writer] = gateway.backend.specimens.begun
    writer.failing = SpoolUnavailable("disk_failing", "EIO", 7)
    writer.drain()
    reply = connection.reply()
    assert (reply.status, reply.header("retry-after"), reply.problem["reason"]) == (503, "7", "disk_failing")
    assert writer.state == "aborted"


@pytest.mark.parametrize("coding", [None, "gzip"])
def test_a_spool_that_fills_up_on_the_way_is_told_on_the_way(coding: str | None) -> None:
    gateway = Gateway()
    connection = gateway.connect()
    body = bytes(5_000_000) if coding is None else gzip.compress(bytes(5_000_000), 0)
    headers = () if coding is None else (f"Content-Encoding: {coding}",)
    sent = chunked("PUT", "/specimen?uri=a", [body], *headers)
    connection.send(sent[:500_000])
    gateway.backend.space.forced = Refusal("disk_floor", "because", 42)
    connection.send(sent[500_000:-500_000])
    reply = connection.reply()
    assert (reply.status, reply.header("retry-after"), reply.problem["reason"]) == (503, "42", "disk_floor")
    assert gateway.backend.specimens.begun[0].state == "aborted"


def test_an_encoded_specimen_is_read_at_the_pace_it_is_decoded() -> None:
    offload = HandOffload()
    gateway = Gateway(offload=offload)
    connection = gateway.connect()
    data = bytes(range(256)) * 10_000
    sent = request("PUT", "/specimen?uri=a", gzip.compress(data, 0), "Content-Encoding: gzip")
    pauses = 0
    for at in range(0, len(sent), 65_536):
        if connection.paused:
            pauses += 1
            offload.run()
            assert not connection.paused
        connection.send(sent[at : at + 65_536])
    assert pauses >= 5
    assert connection.raw == b""
    offload.run()
    assert connection.reply().status == 204
    assert bytes(gateway.backend.specimens.kept[0].body) == data


def test_an_encoded_specimen_is_decoded_at_the_pace_of_the_disk() -> None:
    offload = HandOffload()
    gateway = Gateway(offload=offload)
    gateway.backend.specimens.by_hand = True
    connection = gateway.connect()
    connection.send(request("PUT", "/specimen?uri=a", gzip.compress(bytes(30_000_000)), "Content-Encoding: gzip"))
    [writer] = gateway.backend.specimens.begun
    rounds = 0
    while writer.state == "open":
        offload.run()
        writer.drain()
        rounds += 1
    assert rounds > 20
    assert writer.most_waiting <= 2 * 1024 * 1024
    assert connection.reply().status == 204
    assert bytes(writer.body) == bytes(30_000_000)


@pytest.mark.parametrize("target", ["/usage", "/specimen?uri=a"])
def test_an_encoded_body_is_bounded_before_it_is_decoded_too(target: str) -> None:
    gateway = Gateway(Limits(max_report=100_000, max_specimen=100_000), offload=HandOffload())
    fits = gzip.compress(random.Random(1).randbytes(99_990), 9)  # larger than what it holds
    for sent in (
        request("PUT", target, None, "Content-Encoding: gzip", "Content-Length: 200000"),
        chunked("PUT", target, [b"x" * 120_000], "Content-Encoding: gzip")[:-5],
    ):
        connection = gateway.connect()
        connection.send(sent)
        assert connection.reply().problem["status"] == 413
    connection = gateway.connect()
    connection.send(request("PUT", target, fits, "Content-Encoding: gzip"))
    assert connection.raw == b""


@pytest.mark.parametrize("headers", [(), ("Content-Encoding: gzip",)])
def test_a_specimen_whose_sender_hangs_up_is_forgotten(headers: tuple[str, ...]) -> None:
    gateway = Gateway()
    connection = gateway.connect()
    connection.send(request("PUT", "/specimen?uri=a", gzip.compress(bytes(100_000), 0), *headers)[:50_000])
    [writer] = gateway.backend.specimens.begun
    assert writer.state == "open"
    connection.hang_up()
    assert writer.state == "aborted"


# Once.


def test_a_repeated_key_is_acknowledged_and_kept_once() -> None:
    gateway = Gateway()
    for _ in range(3):
        assert gateway.ask(request("PUT", "/usage", b"1", "Idempotency-Key: k1")).status == 204
        assert gateway.ask(request("PUT", "/specimen?uri=a", b"1", "Idempotency-Key: k1")).status == 204
        assert (
            gateway.ask(chunked("PUT", "/specimen?uri=a", [b"1" * 100_000] * 10, "Idempotency-Key: k1")).status == 204
        )
    assert gateway.ask(request("PUT", "/usage", b"2", "Idempotency-Key: k1", user="bob")).status == 204
    assert gateway.ask(request("PUT", "/error", b"3", "Idempotency-Key: k1")).status == 204
    assert gateway.backend.usage.lines == b"1\n2\n"
    assert gateway.backend.error.lines == b"3\n"
    assert len(gateway.backend.specimens.kept) == 1
    gateway.backend.now_ns += 3_601 * 10**9
    assert gateway.ask(request("PUT", "/usage", b"4", "Idempotency-Key: k1")).status == 204
    assert gateway.backend.usage.lines == b"1\n2\n4\n"


def test_equal_records_without_a_key_are_two() -> None:
    gateway = Gateway()
    for _ in range(2):
        assert gateway.ask(request("PUT", "/usage", b"1")).status == 204
    assert gateway.backend.usage.lines == b"1\n1\n"


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\xe9", "a\tb"])
def test_a_key_is_visible_ascii(key: str) -> None:
    reply = Gateway().ask(request("PUT", "/usage", b"1", f"Idempotency-Key: {key}"))
    assert reply.status == 400
    assert reply.problem["type"].endswith(":invalid-idempotency-key")
    assert Gateway().ask(request("PUT", "/usage", b"1", "Idempotency-Key: a", "Idempotency-Key: b")).status == 400
    assert Gateway().ask(request("PUT", "/usage", b"1", "Idempotency-Key: " + "~" * 255)).status == 204


# Not now.


@pytest.mark.parametrize("reason", ["spool_full", "disk_floor", "disk_failing"])
def test_a_full_or_failing_spool_is_told_everywhere(reason: str) -> None:
    gateway = Gateway()
    gateway.backend.space.forced = Refusal(reason, "because", 42)
    gateway.backend.receiver.admission(0)  # where the disk fails, the one request that tries it
    for sent in (
        request("PUT", "/usage", b"1"),
        request("POST", "/error", b"1"),
        request("PUT", "/specimen?uri=a", b"1"),
        request("GET", "/ready"),
    ):
        reply = gateway.ask(sent)
        assert (reply.status, reply.header("retry-after")) == (503, "42")
        assert reply.problem["reason"] == reason
        assert reply.problem["type"].endswith(f":{reason}")
        gateway.backend.now_ns += 1
    assert gateway.ask(request("GET", "/health")).status == 200
    assert not gateway.backend.usage.entries and not gateway.backend.specimens.begun
    gateway.backend.space.forced = None
    assert gateway.ask(request("GET", "/ready")).status == 200


def test_starting_and_draining_are_told() -> None:
    gateway = Gateway()
    gateway.backend.receiver.drain()
    for sent in (request("PUT", "/usage", b"1"), request("GET", "/ready")):
        reply = gateway.ask(sent)
        assert reply.status == 503
        assert reply.problem["reason"] == "draining"
        assert int(reply.header("retry-after") or 0) >= 1
    assert gateway.ask(request("GET", "/health")).status == 200


def test_a_flush_that_fails_is_told_and_nothing_counts_as_kept() -> None:
    gateway = Gateway()
    gateway.backend.usage.failing = SpoolUnavailable("disk_failing", "EIO", None)
    for _ in range(2):
        reply = gateway.ask(request("PUT", "/usage", b"1", "Idempotency-Key: k"))
        assert reply.status == 503
        assert reply.problem["reason"] == "disk_failing"
        assert int(reply.header("retry-after") or 0) >= 1
    gateway.backend.usage.failing = None
    assert gateway.ask(request("PUT", "/usage", b"1", "Idempotency-Key: k")).status == 204
    assert gateway.backend.usage.lines == b"1\n"


def test_too_much_waiting_for_the_disk_is_told() -> None:
    gateway = Gateway(backend=Backend(max_waiting=1_000))
    gateway.backend.usage.by_hand = True
    first = gateway.connect()
    first.send(request("PUT", "/usage", b'"' + b"x" * 1_000 + b'"'))
    reply = gateway.ask(request("PUT", "/error", b'"' + b"x" * 200 + b'"'))
    assert (reply.status, reply.problem["reason"]) == (503, "busy")
    assert gateway.ask(request("GET", "/ready")).problem["reason"] == "busy"
    assert gateway.ask(request("GET", "/health")).status == 200
    gateway.backend.usage.flush()
    assert first.reply().status == 204


# Paths, methods, ids.


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/usage/",
        "//usage",
        "/usage/x",
        "/Usage",
        "/metrics",
        "/health/",
        "/usage%2F",
        "/a/../usage",
        "*",
        "xusage",
        "/%00",
    ],
)
def test_paths_are_exact(path: str) -> None:
    reply = Gateway().ask(request("PUT", path, b"1"))
    assert reply.status == 404
    assert reply.problem["type"].endswith(":not-found")


def test_a_target_may_be_a_whole_url() -> None:
    gateway = Gateway()
    assert gateway.ask(request("GET", "http://gateway:8080/health")).status == 200
    assert gateway.ask(request("PUT", "HTTP://gateway/specimen?uri=http://x/y", b"1")).status == 204
    assert gateway.backend.specimens.kept[0].about["uri"] == "http://x/y"
    assert gateway.ask(request("GET", "http://gateway")).status == 404
    assert gateway.ask(request("GET", "http://gateway?health")).status == 404


@pytest.mark.parametrize(
    ("path", "allowed", "refused"),
    [
        ("/usage", "PUT, POST", ["GET", "HEAD", "DELETE", "PATCH", "OPTIONS", "TRACE", "FROB"]),
        ("/error", "PUT, POST", ["GET"]),
        ("/specimen?uri=a", "PUT, POST", ["GET"]),
        ("/health", "GET, HEAD", ["PUT", "POST", "DELETE", "OPTIONS"]),
        ("/ready", "GET, HEAD", ["PUT", "get"]),
    ],
)
def test_other_methods_are_not_allowed(path: str, allowed: str, refused: list[str]) -> None:
    for method in refused:
        gateway = Gateway()
        connection = gateway.connect()
        connection.send(request(method, path, b"" if method in ("PUT", "POST") else None))
        status, *lines = connection.raw.decode().split("\r\n")
        assert status == "HTTP/1.1 405 Method Not Allowed"
        assert f"Allow: {allowed}" in lines
        assert "Content-Type: application/problem+json" in lines
        if method == "HEAD":
            assert connection.raw.endswith(b"\r\n\r\n")
        else:
            assert connection.reply().problem["status"] == 405


def test_health_and_ready() -> None:
    gateway = Gateway()
    reply = gateway.ask(request("GET", "/health", user=None))
    assert (reply.status, reply.header("content-type"), json.loads(reply.body)) == (
        200,
        "application/json",
        {"status": "healthy"},
    )
    assert reply.body == b'{"status":"healthy"}'
    reply = gateway.ask(request("GET", "/ready?x=1", user=None))
    assert (reply.status, json.loads(reply.body)) == (200, {"status": "ready"})


def test_head_has_the_length_and_no_body() -> None:
    connection = Gateway().connect()
    connection.send(request("HEAD", "/health") + request("HEAD", "/ready"))
    heads = connection.raw.split(b"\r\n\r\n")
    assert len(heads) == 3 and heads[2] == b""
    assert heads[0].startswith(b"HTTP/1.1 200 ") and b"Content-Length: 20" in heads[0]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("a.B_9-", True), ("x" * 128, True), ("x" * 129, False), ("a b", False), ("<b>", False), ("", False)],
)
def test_a_sane_request_id_is_taken_over_and_any_other_replaced(sent: str, kept: bool) -> None:
    gateway = Gateway()
    for method, status in (("PUT", 204), ("GET", 405)):
        reply = gateway.ask(request(method, "/usage", b"1", f"X-Request-Id: {sent}"))
        assert reply.status == status
        found = reply.header("x-request-id")
        assert found is not None
        if kept:
            assert found == sent
        else:
            assert len(found) == 32 and int(found, 16) >= 0
    assert Gateway().ask(request("GET", "/health")).header("x-request-id") is not None


def test_a_fault_of_ours_is_a_problem_and_a_line_in_the_log() -> None:
    from twisted.logger import capturedLogs

    def identify(fields: Fields, stream: Stream) -> str:
        raise ZeroDivisionError("secret detail")

    gateway = Gateway(identify=identify)
    with capturedLogs() as events:
        reply = gateway.ask(request("PUT", "/usage", b"1", "X-Request-Id: mine"))
    assert reply.status == 500
    assert reply.problem["request_id"] == "mine"
    assert b"secret" not in reply.body and b"Zero" not in reply.body
    [event] = [event for event in events if event.get("log_failure") is not None]
    assert event["request_id"] == "mine"

    gateway = Gateway()
    gateway.backend.usage.failing = RuntimeError("secret detail")  # type: ignore[assignment]
    with capturedLogs() as events:
        reply = gateway.ask(request("PUT", "/usage", b"1"))
    assert reply.problem["status"] == 500
    assert b"secret" not in reply.body
    assert any(event.get("log_failure") is not None for event in events)


def test_a_request_is_one_line_in_the_log_when_asked_for() -> None:
    from twisted.logger import LogLevel, capturedLogs, formatEvent

    gateway = Gateway()
    with capturedLogs() as events:
        gateway.ask(request("PUT", "/usage", b"1"))
    assert events == []
    gateway.resource.door.log_requests = True
    with capturedLogs() as events:
        gateway.ask(request("PUT", "/usage", b"1", "X-Request-Id: mine"))
    [event] = events
    assert event["log_level"] == LogLevel.debug
    assert formatEvent(event) == "PUT /usage 204 mine 192.0.2.7"


def test_limits_may_change_while_it_serves() -> None:
    gateway = Gateway()
    assert gateway.ask(request("PUT", "/usage", b'"' + b"x" * 100 + b'"')).status == 204
    gateway.resource.door.set_limits(Limits(max_report=50))
    assert gateway.ask(request("PUT", "/usage", b'"' + b"x" * 100 + b'"')).status == 413


def test_large_bodies_are_checked_off_the_reactor_and_small_ones_at_once() -> None:
    offload = HandOffload()
    gateway = Gateway(offload=offload)
    assert gateway.ask(request("PUT", "/usage", b'"' + b"x" * 60_000 + b'"')).status == 204
    connection = gateway.connect()
    connection.send(request("PUT", "/usage", b'"' + b"x" * 70_000 + b'"'))
    assert connection.raw == b"" and len(offload.jobs) == 1
    offload.run()
    assert connection.reply().status == 204
    connection.send(request("PUT", "/usage", gzip.compress(b"1"), "Content-Encoding: gzip"))
    assert connection.raw == b"" and len(offload.jobs) == 1
    connection.hang_up()  # before it is kept: nobody would see the acknowledgement
    offload.run()
    assert len(gateway.backend.usage.entries) == 2
