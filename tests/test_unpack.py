"""From bytes to records: what is whole is read whatever else is damaged, and each damage is told."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lf6gateway.disk.compression import INFLATE_ERRORS, inflater
from lf6gateway.values.member import HEADER_BYTES, Member, digest_of, encode_header
from lf6gateway.values.record_lines import RecordReader
from lf6gateway.values.selection import Selection
from lf6gateway.values.slot import Slot
from lf6gateway.values.unpack import WINDOW, Began, Damage, Ended, Unpacker

SLOT = Slot.parse("2026112513")


def packed(lines: bytes, number: int = 1, spool: str = "a" * 16, level: int = 6) -> bytes:
    """A member of the gateway's making."""
    deflate = zlib.compressobj(level, zlib.DEFLATED, -15)
    body = deflate.compress(lines) + deflate.flush()
    trailer = zlib.crc32(lines).to_bytes(4, "little") + (len(lines) & 0xFFFFFFFF).to_bytes(4, "little")
    size = HEADER_BYTES + len(body) + len(trailer)
    member = Member(spool, f"{number:032x}", lines.count(b"\n"), len(lines), size, "0" * 32)
    member = replace(member, digest=digest_of(member, hashlib.sha256(body + trailer)))
    return encode_header(member) + body + trailer


def unpacker(plain: bool, start: int = 0) -> Unpacker:
    if plain:
        return Unpacker(lambda: zlib.decompressobj(WINDOW), (zlib.error,), digests=True, start=start)
    return Unpacker(lambda: inflater(WINDOW), INFLATE_ERRORS, digests=True, start=start)


def read(
    data: bytes, size: int = 1 << 20, *, plain: bool = False, longest: int = 1 << 20
) -> tuple[bytes, RecordReader]:
    reader = RecordReader(unpacker(plain), Selection(), SLOT, longest)
    out = b""
    for start in range(0, len(data), size):
        out += b"".join(reader.feed(data[start : start + size]))
    return out + b"".join(reader.end()), reader


def lines(first: int, count: int) -> bytes:
    return b"".join(b'{"n":%d}\n' % number for number in range(first, first + count))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 50)), max_size=6),
    st.integers(1, 400),
    st.booleans(),
    st.integers(0, 3),
)
def test_members_of_whoever_made_them_are_read_in_any_chunks(
    members: list[tuple[bool, int]], size: int, plain: bool, padding: int
) -> None:
    data, expected = b"", b""
    for number, (ours, count) in enumerate(members):
        text = lines(number * 100, count)
        data += packed(text, number) if ours else gzip.compress(text)
        expected += text
    found, reader = read(data + b"\0" * padding, size, plain=plain)
    assert found == expected
    assert (reader.damages, reader.seen) == ([], expected.count(b"\n"))


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_a_damaged_member_costs_itself_alone(data: st.DataObject) -> None:
    texts = [lines(number * 1000, 40) for number in range(3)]
    members = [packed(text, number) for number, text in enumerate(texts)]
    hurt = data.draw(st.integers(0, 2))
    place = data.draw(st.integers(HEADER_BYTES, len(members[hurt]) - 1))
    bit = data.draw(st.integers(0, 7))
    members[hurt] = members[hurt][:place] + bytes([members[hurt][place] ^ 1 << bit]) + members[hurt][place + 1 :]
    found, reader = read(b"".join(members), data.draw(st.sampled_from([50, 1 << 20])), plain=data.draw(st.booleans()))
    # A few bits mean nothing, such as those that fill up the last byte of what is packed.
    assert reader.damaged >= 1 or found == b"".join(texts)
    for number, text in enumerate(texts):
        if number != hurt:
            assert text in found


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=300), st.binary(max_size=300), st.integers(1, 300))
def test_behind_what_is_no_gzip_ours_are_found(front: bytes, between: bytes, size: int) -> None:
    data = front + packed(lines(0, 30), 1) + between + packed(lines(100, 30), 2)
    found, reader = read(data, size)
    if front[:2] != b"\x1f\x8b":
        assert lines(0, 30) in found
    assert lines(100, 30) in found or b"\x1f\x8b" in between + front
    assert reader.damaged or not (front + between).strip(b"\0")


def test_an_object_that_breaks_off_gives_what_it_has() -> None:
    data = packed(lines(0, 1000), level=0)
    found, reader = read(data[:3000])
    assert found == lines(0, 1000)[: len(found)] and found.endswith(b"\n")
    assert "ends in the middle" in reader.damages[-1].why


def test_a_header_that_does_not_fit_is_told_and_the_records_are_read() -> None:
    data = packed(lines(0, 9))
    wrong = data.replace(b"-%014d-" % len(lines(0, 9)), b"-%014d-" % 12345, 1)
    assert wrong != data
    found, reader = read(wrong)
    assert found == lines(0, 9)
    assert "its header says" in reader.damages[0].why


def test_events_tell_offsets_members_and_digests() -> None:
    first, second = packed(lines(0, 3)), gzip.compress(lines(3, 3))
    events = [*(one := unpacker(False, start=1000)).feed(first + second), *one.end()]
    began = [event for event in events if isinstance(event, Began)]
    ended = [event for event in events if isinstance(event, Ended)]
    assert [event.offset for event in began] == [1000, 1000 + len(first)]
    assert began[0].member is not None and began[0].member.records == 3
    assert began[1].member is None
    assert [event.digest_fits for event in ended] == [True, None]
    changed = first.replace(b"-" + b"a" * 16 + b"-", b"-" + b"b" * 16 + b"-")
    assert [event.digest_fits for event in unpacker(False).feed(changed) if isinstance(event, Ended)] == [False]


def test_a_bomb_comes_in_small_pieces() -> None:
    data = gzip.compress(bytes(64 << 20))
    largest = total = 0
    for event in unpacker(False).feed(data):
        if isinstance(event, bytes):
            largest, total = max(largest, len(event)), total + len(event)
    assert (largest, total) == (1 << 20, 64 << 20)


@pytest.mark.parametrize("size", [7, 1 << 20])
def test_a_record_that_is_too_long_is_passed_over(size: int) -> None:
    text = b'"1"\n"' + b"x" * 5000 + b'"\n"2"\n'
    found, reader = read(packed(text, level=0), size, longest=1000)
    if size == 7:
        assert found == b'"1"\n"2"\n'
    else:
        assert found == text  # it was there in one piece, so it cost nothing
    assert reader.damaged == (size == 7)


def test_a_last_line_without_its_end_gets_one_before_ours() -> None:
    data = gzip.compress(b'{"go":1}') + packed(lines(0, 2)) + gzip.compress(b'{"go":2}')
    assert read(data)[0] == b'{"go":1}\n' + lines(0, 2) + b'{"go":2}\n'


def test_what_is_nothing_at_all() -> None:
    assert read(b"")[0] == b""
    found, reader = read(b"plain text\n" * 100)
    assert (found, reader.damaged) == (b"", 1)
    assert isinstance(reader.damages[0], Damage)
