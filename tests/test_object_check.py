"""What verify finds: each kind of damage, by what the object itself tells of it."""

from __future__ import annotations

import gzip
import hashlib

import pytest

from lf6gateway.values.delivered import Delivered, delivered
from lf6gateway.values.enveloped import read_envelope
from lf6gateway.values.growth import NO_CURSORS, ZERO, advance_all, format_cursors
from lf6gateway.values.member import HEADER_BYTES, Member, parse_header
from lf6gateway.values.object_check import RecordsCheck, SpecimenCheck, Verdict
from lf6gateway.values.slot import Slot
from lf6gateway.values.stream import Stream
from tests.test_unpack import lines, packed, unpacker

KEY = "usage/2026/11/25/13/2026112513.test-host.jsonl.gz"
FOUND = delivered(Stream.USAGE, "usage/", KEY, 0, "", 0)
SPOOL = "a" * 16


def member_of(data: bytes) -> Member:
    member = parse_header(data[:HEADER_BYTES])
    assert member is not None
    return member


def cursors(*members: bytes) -> dict[str, str]:
    return format_cursors(NO_CURSORS, SPOOL, advance_all(ZERO, map(member_of, members)))


def verdict(data: bytes, metadata: dict[str, str]) -> Verdict:
    assert isinstance(FOUND, Delivered)
    check = RecordsCheck(FOUND, metadata, unpacker(False), 1 << 20)
    assert [*check.feed(data[:100]), *check.feed(data[100:]), *check.end()] == []
    return check.verdict


def wrong(data: bytes, metadata: dict[str, str]) -> str:
    found = verdict(data, metadata)
    assert all(one.remedy for one in found.wrong)
    return "; ".join(one.what for one in found.wrong)


ONE, TWO = packed(lines(0, 5), 1), packed(lines(5, 5), 2)


def test_what_the_gateway_wrote_is_right_and_proven() -> None:
    found = verdict(ONE + TWO, cursors(ONE, TWO))
    assert (found.wrong, found.records, found.members, found.proven) == ([], 10, 2, True)


@pytest.mark.parametrize(
    ("data", "metadata", "told"),
    [
        (ONE, cursors(ONE, TWO), "holds 1 members of writer aaaaaaaaaaaaaaaa, and its metadata say 2"),
        (TWO + ONE, cursors(ONE, TWO), "are not those that its metadata tell of"),
        (ONE + TWO + TWO, cursors(ONE, TWO, TWO), "is in it twice"),
        (ONE + packed(b"1\n", 3, "b" * 16), cursors(ONE), "of whom its metadata know nothing"),
        (ONE, {"lf6-members": "nonsense"}, "cannot be read"),
        (ONE + TWO[:-3], cursors(ONE, TWO), "ends in the middle"),
        (ONE[:-5] + b"\0" + ONE[-4:] + TWO, cursors(ONE, TWO), "cannot be unpacked"),
        (ONE.replace(b"-0000000005-", b"-0000000006-"), cursors(ONE), "has 5 records, and its header says 6"),
        (ONE.replace(b"a" * 16, b"b" * 16), {}, "does not fit its digest"),
        (packed(b'{"a":1}\n{"a":}\n'), {}, "record 2, column 6, is not JSON"),
        (packed(b'{"a":1}\n\n{"a":1}\n'), {}, "1 blank lines"),
        (packed(b'{"a":1}\n{"a":2}'), {}, "no end of line"),
        (b"not gzip", {}, "at byte 0: no gzip member begins here"),
    ],
)
def test_what_is_wrong_is_told(data: bytes, metadata: dict[str, str], told: str) -> None:
    assert told in wrong(data, metadata)


def test_what_others_wrote_is_read_and_not_proven() -> None:
    found = verdict(gzip.compress(b'{"go":1}') + ONE, cursors(ONE))
    assert (found.wrong, found.records, found.proven) == ([], 6, False)
    assert verdict(ONE, {}).proven is False


def enveloped(moment: str, number: int) -> bytes:
    return (
        b'{"received_at":"%s.000000001Z","user":"al\\"ice","id":"%032x-0000000000","host":"test-host","data":{"n":1}}\n'
        % (moment.encode(), number)
    )


def test_records_of_another_hour_are_told() -> None:
    right, late = enveloped("2026-11-25T13:59:59", 1), enveloped("2026-11-25T14:00:00", 1)
    assert wrong(packed(right * 3, 1), {}) == ""
    assert "2 records were received outside of its hour 2026112513" in wrong(packed(right + late * 2, 1), {})


def test_an_envelope_is_believed_in_its_own_member_alone() -> None:
    line = enveloped("2026-11-25T13:59:59", 1)[:-1]
    own = member_of(packed(b"1\n", 1))
    found = read_envelope(line, own)
    assert found is not None
    assert (found.user, found.data, found.host) == ('al"ice', b'{"n":1}', "test-host")
    assert found.received_ns == Slot.parse("2026112513").end_ns - 999_999_999
    assert read_envelope(line, None) == found
    assert read_envelope(line, member_of(packed(b"1\n", 2))) is None  # a sender wrote it, who cannot know the id
    for other in (line + b" ", line.replace(b"user", b"User"), b" " + line, line.replace(b"-25T13", b"-45T13"), b"{}"):
        assert read_envelope(other, own) is None


def test_what_the_gateway_puts_into_envelopes_is_read() -> None:
    envelope = pytest.importorskip("lf6gateway.values.envelope")
    from lf6gateway.values.entry import Entry

    received = Slot.parse("2026112513").start_ns + 123_456_789
    for user in ("alice", 'a"b\\c', "ü\u2028日", "{"):
        entry = Entry(received, user, b'{"n":1}\n{"data":{}}\n', 2, None, "")
        lines_of = b"".join(envelope.Envelope("test.host").wrap(entry, f"{1:032x}", 77)).splitlines()
        found = [read_envelope(line, member_of(packed(b"1\n", 1))) for line in lines_of]
        assert [one and (one.user, one.data, one.received_ns, one.host) for one in found] == [
            (user, b'{"n":1}', received, "test-host"),
            (user, b'{"data":{}}', received, "test-host"),
        ]


def test_specimens() -> None:
    key = "s/alice/2026/11/25/a.1795614665035864959.png"
    found = delivered(Stream.SPECIMEN, "s/", key, 3, "", 0)
    assert found is not None
    digest = hashlib.sha256(b"abc").hexdigest()

    def told(metadata: dict[str, str], data: bytes = b"abc", of: Delivered = found) -> list[str]:
        check = SpecimenCheck(of, metadata)
        assert [*check.feed(data), *check.end()] == []
        return [one.what for one in check.verdict.wrong]

    assert told({"sha256": digest, "user": "alice"}) == []
    assert "its metadata say" in told({"sha256": digest}, b"abd")[0]
    assert told({"sha256": digest, "user": "bob"}) == ["its metadata name another user than its key"]
    assert told({}) == []
    moved = delivered(Stream.SPECIMEN, "s/", key.replace("11/25", "11/26"), 3, "", 0)
    assert moved is not None
    assert "timestamp" in told({"sha256": digest}, of=moved)[0]
