"""What is fuzzed: each target takes any bytes, and raises where something happens that must not.

A target checks promises, not mere survival: that how a sender cuts its bytes changes nothing, that nothing is left held,
that only the errors happen that are documented."""

from __future__ import annotations

import gzip
import json
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import google_crc32c
import zstandard
from twisted.logger import LogEvent, LogLevel, globalLogPublisher

from lf6gateway.disk import specimen_file
from lf6gateway.disk.damaged import Damaged
from lf6gateway.disk.keyfile import recent_keys
from lf6gateway.disk.segment import Segment, Torn, Whole, read_segment
from lf6gateway.edges.body import CODINGS, STEP, BadCoding, TooMuch, decode_whole, decoder_for
from lf6gateway.values import frame, go_cache
from lf6gateway.values.hour_ledger import HourLedger
from lf6gateway.values.json_record import JsonProblem, check_batch, check_record
from lf6gateway.values.limits import Limits
from lf6gateway.values.member import HEADER_BYTES, encode_header, parse_header
from lf6gateway.values.settings_parse import parse_settings
from lf6gateway.values.settings_problem import SettingsError
from lf6gateway.values.slot import Slot
from lf6gateway.values.stream import Stream
from lf6gateway.values.username import check_username
from lf6gateway.values.walk import Strange, Walker
from tests.fuzz.files import Files
from tests.hostile.channels import CHANNELS, Channel
from tests.http_support import Connection, Reply, read_replies

MOST = 256 * 1024
"""Decoded bytes that a body may have here."""
_LIMITS = Limits(
    max_report=2_000, max_batch=8_000, max_specimen=30_000, max_waiting=20_000, max_head=2_000, max_headers=20
)
_STATUSES = {200, 204, 400, 401, 404, 405, 408, 411, 413, 415, 431, 503}
_HEAD = re.compile(rb"(?:^|\r\n)HEAD ", re.IGNORECASE)


# The HTTP channel.


def channel_target(channel: Channel) -> Callable[[bytes], None]:
    """Bytes on a connection: the first one says how they are cut the second time."""

    def target(data: bytes) -> None:
        if len(data) < 2:
            return
        size, sent = data[0] % 64 + 1, data[1:]
        whole, kept = _talk(channel, sent, len(sent))
        cut, kept_cut = _talk(channel, sent, size)
        # Whether a body that is refused is waited for depends on whether its sender waits, and some of it has come.
        if b"100-continue" not in sent.lower():
            assert kept == kept_cut, "what is kept depends on how the bytes are cut"
            assert whole == cut, f"the answers depend on how the bytes are cut: {whole} and {cut}"

    return target


def _talk(channel: Channel, data: bytes, size: int) -> tuple[list[int], tuple[bytes, ...]]:
    gateway = channel.gateway(_LIMITS)
    failures: list[LogEvent] = []

    def observe(event: LogEvent) -> None:
        if event.get("log_level") in (LogLevel.error, LogLevel.critical):
            failures.append(event)

    globalLogPublisher.addObserver(observe)
    try:
        connection = gateway.connect()
        connection.send(data, cut=size)
        replies = _replies(connection, data)
        gateway.clock.advance(1_000)
        gateway.clock.advance(1_000)
        connection.hang_up()
    finally:
        globalLogPublisher.removeObserver(observe)
    assert not failures, failures
    assert gateway.site.connections == 0
    assert gateway.resource.door.memory.held == gateway.resource.door.places.held == 0
    assert gateway.clock.getDelayedCalls() == []
    for journal in (gateway.backend.usage, gateway.backend.error):
        for entry in journal.entries:
            check_username(entry.user)
            assert entry.lines.count(b"\n") == entry.count
            for line in entry.lines.splitlines():
                json.loads(line)
    states = {writer.state for writer in gateway.backend.specimens.begun}
    assert states <= {"committed", "aborted"}, states
    kept = [gateway.backend.usage.lines, gateway.backend.error.lines]
    kept += [bytes(writer.body) for writer in gateway.backend.specimens.kept]
    # Heads and bodies that are refused are told apart by their size only where both are so.
    return [400 if reply.status == 431 else reply.status for reply in replies], tuple(kept)


def _replies(connection: Connection, sent: bytes) -> list[Reply]:
    raw = connection.raw.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
    if _HEAD.search(sent):
        return []  # which of the answers have no body is known only to who parses the requests
    replies, rest = read_replies(raw)
    assert not rest, rest
    for reply in replies:
        assert reply.status in _STATUSES, reply
        if reply.status >= 400:
            assert reply.problem["status"] == reply.status
    return replies


# Bodies.


def body(data: bytes) -> None:
    """The first byte: which coding; the second: how it is cut; the third: whether the rest is encoded first."""
    if len(data) < 4:
        return
    coding, size, encode, rest = CODINGS[data[0] % 3], data[1] + 1, data[2], data[3:]
    if encode & 1:
        rest = _encoded(coding, rest, encode)
    whole = _decoded(coding, [rest])
    pieces = [rest[at : at + size] for at in range(0, len(rest), size)]
    cut = _decoded(coding, pieces)
    # libzstd looks at frames that no compressor makes (blocks of nothing, another length than the header says) more
    # closely in one piece than in several, or the other way round.
    valid = encode & 3 == 1
    if coding != "zstd" or valid:
        assert type(whole) is type(cut), f"{whole!r:.50} and {cut!r:.50}"
    if isinstance(whole, bytes) and isinstance(cut, bytes):
        assert whole == cut
        assert len(whole) <= MOST
    if valid:
        assert isinstance(whole, bytes) or len(data) > MOST, whole
    _steps(coding, pieces)


def _encoded(coding: str, data: bytes, how: int) -> bytes:
    if coding == "zstd":
        packed = zstandard.ZstdCompressor(level=1 + how % 5).compress(data)
    else:
        engine = zlib.compressobj(how % 10, zlib.DEFLATED, 31 if coding == "gzip" else (15, -15)[how >> 2 & 1])
        packed = engine.compress(data) + engine.flush()
    if how & 2:  # and then something goes wrong
        at = how % max(1, len(packed))
        packed = packed[:at] + bytes([packed[at] ^ (1 << how % 8)]) + packed[at + 1 :] + data[: how % 4]
    return packed


def _decoded(coding: str, pieces: list[bytes]) -> bytes | BadCoding | TooMuch:
    try:
        return decode_whole(coding, pieces, MOST)
    except (BadCoding, TooMuch) as error:
        return error


def _steps(coding: str, pieces: list[bytes]) -> None:
    decoder = decoder_for(coding)
    total = 0
    try:
        for piece in pieces:
            decoder.feed(piece)
            while taken := decoder.take(STEP):
                size = sum(map(len, taken))
                assert size <= STEP + (8 << 20), size
                total += size
                if total > 4 * MOST:
                    return
    except BadCoding:
        return


def records(data: bytes) -> None:
    """The body of a report and of a batch; Python's own parser is asked what it thinks of what was taken."""
    try:
        line = check_record(data)
    except JsonProblem as problem:
        assert problem.line >= 1 and problem.column >= 1
        str(problem).encode()
    else:
        assert b"\n" not in line and b"\r" not in line
        json.loads(line, parse_constant=_no_constant, parse_int=str, parse_float=str)
    try:
        lines, count = check_batch(data, max_record=5_000)
    except JsonProblem:
        return
    assert lines.count(b"\n") == count and lines.endswith(b"\n")
    for line in lines.splitlines():
        json.loads(line, parse_constant=_no_constant, parse_int=str, parse_float=str)


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} was taken")


# The configuration.

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


def configuration(data: bytes) -> None:
    """A file, and behind a NUL the environment: a variable a line."""
    text, _, rest = data.decode("utf-8", "replace").partition("\0")
    variables = (line.partition("=") for line in rest.split("\n") if line)
    environ = {f"LIGHTFILE6_{name}".replace("\0", ""): value for name, _, value in variables}
    try:
        settings = parse_settings(text, "config.yml", environ, cwd="/work", hostname="host")
    except SettingsError as error:
        assert error.problems
        for problem in error.problems:
            assert not _CONTROL.search(str(problem)), f"a message holds a control character: {problem!s:.200}"
    else:
        assert settings.http.max_connections > 0
        assert settings.shutdown.deadline.seconds > 0


# What a start reads.


def recovery(data: bytes) -> None:
    """The first byte: which reader; the second, where it is odd: checksums are put right first."""
    if len(data) < 3:
        return
    readers = (_segment, _walk, _specimen, _ledger, _keys, _member, _names)
    readers[data[0] % len(readers)](data[2:], bool(data[1] & 1))


_ID = "0123456789abcdef" * 2
_SLOT = Slot.at(1_700_000_000_000_000_000)


def _frames(data: bytes) -> bytes:
    """A segment of frames whose checksums fit: each begins with a byte that says how long its fields are."""
    parts = [frame.FILE_HEADER]
    while len(data) > 4:
        user, key, request_id, size = data[0] % 16, data[1] % 16, data[2] % 16, data[3]
        names = user + key + request_id
        payload = data[4 : 4 + names + size].ljust(names, b"a")
        data = data[4 + names + size :]
        fields = struct.pack(
            "<4sIIQHHHHI", frame.MAGIC, len(payload), size, size << 56 | 5, user, key, request_id, 0,
            google_crc32c.value(payload),
        )  # fmt: skip
        parts.append(fields + struct.pack("<I", google_crc32c.value(fields)) + payload)
    return b"".join(parts) + data


def _segment(data: bytes, mended: bool) -> None:
    data = _frames(data) if mended else data
    fs = Files({"/s": data})
    for salvage in (False, True):
        at = 0
        try:
            for found in read_segment(fs, Segment(Stream.USAGE, _SLOT, 1, _ID, "/s"), salvage=salvage):
                assert found.offset >= at
                if isinstance(found, Whole):
                    header, lines = frame.encode(found.entry)
                    at = found.offset + len(header) + len(lines)
                    assert (
                        data[found.offset : at] == header + lines or data[found.offset + 34] or data[found.offset + 35]
                    )
                else:
                    assert found.length > 0
                    at = found.offset + found.length
                    assert not isinstance(found, Torn) or at == len(data)
            assert at <= len(data)
        except Damaged:
            assert not mended
    assert not fs.opened


def _walk(data: bytes, mended: bool) -> None:
    if mended:  # members of anybody's behind each other
        data = b"".join(gzip.compress(data[at : at + 40], data[at] % 10) for at in range(0, len(data), 40))
    results = []
    for size in (len(data), 7, 1):
        walker = Walker()
        try:
            for at in range(0, len(data), size):
                walker.feed(data[at : at + size])
            walker.end()
        except Strange:
            assert not mended
            results.append(None)
        else:
            results.append((walker.members, walker.foreign, walker.offset))
            assert walker.offset == len(data)
    assert results[0] == results[1] == results[2]


def _specimen(data: bytes, mended: bool) -> None:
    if mended:
        head, _, content = data.partition(b"\n")
        sizes = struct.pack("<II", len(head), google_crc32c.value(head))
        trailer = specimen_file.encode_trailer(len(content), bytes(32))
        data = specimen_file.MAGIC + sizes + head + content + trailer
    fs = Files({"/s": data})
    try:
        found = specimen_file.read_specimen(fs, "/s")
        assert found.offset + found.length + specimen_file.TRAILER_BYTES == len(data)
        check_username(found.user)
        specimen_file.encode_head(found.head)
        specimen_file.verify(fs, found)
    except Damaged:
        pass
    except ValueError as error:
        raise AssertionError("a head with fields that no head has was taken") from error
    assert not fs.opened


def _ledger(data: bytes, mended: bool) -> None:
    if mended:
        data = b'{"version": 1, "count": %s, "chain": "%s", "shipped": [], "multipart": false}' % tuple(
            (data + b"\n0").split(b"\n", 1)
        )
    try:
        ledger = HourLedger.decode(data)
    except ValueError:
        return
    assert HourLedger.decode(ledger.encode()) == ledger


def _keys(data: bytes, mended: bool) -> None:
    folder = f"/spool/usage/{_SLOT.name}"
    fs = Files({f"{folder}/00000001-{_ID}.keys": data})
    aside: Any = _Aside()
    for use in recent_keys(fs, "/spool", 1_700_000_000_000_000_000, aside):
        assert isinstance(use.received_ns, int) and isinstance(use.user, str) and isinstance(use.key, str)
        hash((use.stream, use.user, use.key))
    assert not fs.opened


class _Aside:
    """Takes what is set aside, and forgets it."""

    def __getattr__(self, name: str) -> Callable[..., int]:
        return lambda *_args, **_named: 0


def _member(data: bytes, mended: bool) -> None:
    found = parse_header(data[:HEADER_BYTES])
    if found is not None:
        assert encode_header(found) == data[:HEADER_BYTES]
    assert parse_header(data) == found


def _names(data: bytes, mended: bool) -> None:
    name = data.decode("utf-8", "surrogateescape")
    for found in (go_cache.parse_report(name), go_cache.parse_specimen(name)):
        assert found is None or 0 <= found.received_ns < 1 << 70
    go_cache.parse_aggregate(name)


def _targets() -> Iterator[tuple[str, Callable[[bytes], None]]]:
    for channel in CHANNELS:
        yield ("channel" if channel.name == "twisted" else f"channel-{channel.name}"), channel_target(channel)
    yield "body", body
    yield "records", records
    yield "configuration", configuration
    yield "recovery", recovery


TARGETS = dict(_targets())
