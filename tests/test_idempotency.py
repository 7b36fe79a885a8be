"""Idempotency keys: counted for one hour, for one user and stream, and known again after a restart."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_twisted
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.logger import LogLevel, capturedLogs

from lf6gateway.disk.filesystem import Entry as Name
from lf6gateway.disk.filesystem import Handle, OsFileSystem
from lf6gateway.disk.folders import file_name, hour_folder, waiting_hours
from lf6gateway.disk.keyfile import NotDurable, drop_old_keys, recent_keys, write_keys
from lf6gateway.disk.quarantine import Quarantine
from lf6gateway.disk.seal import seal
from lf6gateway.services.gateway import GatewayService
from lf6gateway.services.ordered import ended
from lf6gateway.values import frame
from lf6gateway.values.entry import Entry
from lf6gateway.values.idempotency import KeyIndex, KeyUse, digest_of
from lf6gateway.values.settings import Settings
from lf6gateway.values.slot import HOUR_NS, Slot
from lf6gateway.values.stream import RECORD_STREAMS, Stream

SLOT = Slot(490_000)
NOW = SLOT.start_ns + HOUR_NS // 2
MINUTE_NS = HOUR_NS // 60
ONE, TWO, THREE = (digest_of(Stream.USAGE, "ann", key) for key in "123")

NAMES = st.one_of(
    st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/\\"), min_size=1, max_size=20),
    st.text("ab:. ", min_size=1, max_size=4),
)
KEYS = st.one_of(
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=255),
    st.text("ab:.", min_size=1, max_size=4),
)
PARTS = st.tuples(st.sampled_from(list(Stream)), NAMES, KEYS)


def keys_path(root: Path, ordinal: int = 1, stream: Stream = Stream.USAGE, slot: Slot = SLOT) -> Path:
    folder = Path(hour_folder(str(root), stream, slot))
    folder.mkdir(parents=True, exist_ok=True)
    return folder / file_name(ordinal, f"{ordinal:032x}", "keys")


def use(number: int, stream: Stream = Stream.USAGE, received_ns: int = NOW) -> KeyUse:
    return KeyUse(received_ns + number, stream, f"usér{number}", f"key-{number}")


def segment(*uses: KeyUse) -> bytes:
    return frame.FILE_HEADER + b"".join(
        b"".join(frame.encode(Entry(one.received_ns, one.user, b"{}\n", 1, one.key, "r"))) for one in uses
    )


def quarantine(root: Path) -> Quarantine:
    return Quarantine(OsFileSystem(), str(root / "quarantine"))


def found(root: Path, now_ns: int = NOW) -> list[KeyUse]:
    """What a start finds once it has sealed what was left to it."""
    fs = OsFileSystem()
    for stream in RECORD_STREAMS:
        for hour in waiting_hours(fs, str(root), stream):
            for left in hour.segments:
                seal(fs, left, spool="a" * 16, level=1, quarantine=quarantine(root))
    return sorted(recent_keys(OsFileSystem(), str(root), now_ns, quarantine(root)), key=lambda one: one.received_ns)


def test_a_key_is_unknown_until_it_is_remembered() -> None:
    index = KeyIndex(10)
    assert not index.seen(ONE, NOW)
    index.remember(ONE, NOW)
    assert index.seen(ONE, NOW)
    assert not index.seen(TWO, NOW)
    assert len(index) == 1


def test_a_key_counts_for_exactly_one_hour() -> None:
    index = KeyIndex(10)
    index.remember(ONE, NOW)
    assert index.seen(ONE, NOW + HOUR_NS - 1)
    assert not index.seen(ONE, NOW + HOUR_NS)


@pytest.mark.parametrize("into", [0, 1, MINUTE_NS // 2, MINUTE_NS - 1])
def test_no_key_is_forgotten_while_it_counts_and_all_are_a_minute_later(into: int) -> None:
    index = KeyIndex(10)
    index.remember(ONE, NOW + into)
    assert index.expire(NOW + into + HOUR_NS - 1) == 0
    assert index.seen(ONE, NOW + into + HOUR_NS - 1)
    assert index.expire(NOW + into + HOUR_NS + MINUTE_NS) == 1
    assert len(index) == 0


def test_the_index_tells_when_it_is_full_and_when_there_is_room_again() -> None:
    index = KeyIndex(2)
    index.remember(ONE, NOW)
    assert not index.full
    index.remember(TWO, NOW + 2 * MINUTE_NS)
    assert index.full
    index.remember(TWO, NOW + 2 * MINUTE_NS)
    assert len(index) == 2
    index.expire(NOW + HOUR_NS - 1)
    assert index.full
    assert index.expire(NOW + HOUR_NS + MINUTE_NS) == 1
    assert not index.full
    assert index.seen(TWO, NOW + HOUR_NS + MINUTE_NS)


def test_a_changed_bound_counts_at_once() -> None:
    index = KeyIndex(2)
    index.remember(ONE, NOW)
    index.max_keys = 1
    assert index.full
    index.max_keys = 2
    assert not index.full


def test_a_key_used_again_counts_from_its_last_use() -> None:
    index = KeyIndex(10)
    index.remember(ONE, NOW)
    index.remember(ONE, NOW + HOUR_NS)
    index.remember(ONE, NOW + 1)  # older ones come in any order after a restart
    assert len(index) == 1
    assert index.expire(NOW + HOUR_NS + 2 * MINUTE_NS) == 0
    assert index.seen(ONE, NOW + 2 * HOUR_NS - 1)
    assert index.expire(NOW + 2 * HOUR_NS + MINUTE_NS) == 1


STEPS = st.lists(
    st.tuples(st.sampled_from(["remember", "late", "expire"]), st.integers(0, 5), st.integers(0, HOUR_NS // 3)),
    max_size=60,
)


@given(STEPS)
def test_the_index_agrees_with_a_plain_dictionary(steps: list[tuple[str, int, int]]) -> None:
    index, last, now = KeyIndex(1000), dict[bytes, int](), NOW
    for step, number, passed in steps:
        digest = b"%16d" % number
        now += passed if step != "late" else 0
        moment = now - passed if step == "late" else now
        if step == "expire":
            before = len(index)
            assert index.expire(now) == before - len(index)
            last = {one: moment for one, moment in last.items() if moment > now - HOUR_NS - MINUTE_NS}
            assert len(index) <= len(last)
        else:
            index.remember(digest, moment)
            last[digest] = max(moment, last.get(digest, 0))
        for one in range(6):
            known = last.get(b"%16d" % one, 0) > now - HOUR_NS
            assert index.seen(b"%16d" % one, now) == known


@example((Stream.USAGE, "a", "bc"), (Stream.USAGE, "ab", "c"))
@example((Stream.USAGE, "error", "x"), (Stream.ERROR, "usage", "x"))
@given(PARTS, PARTS)
def test_keys_are_told_apart_by_stream_user_and_key(
    one: tuple[Stream, str, str], other: tuple[Stream, str, str]
) -> None:
    assert (digest_of(*one) == digest_of(*other)) == (one == other)
    assert len(digest_of(*one)) == 16


@given(PARTS, st.integers(0, 300))
def test_a_digest_depends_on_where_the_user_ends(parts: tuple[Stream, str, str], at: int) -> None:
    stream, user, key = parts
    whole = user + key
    cut = 1 + at % max(1, len(whole) - 1)
    moved = (stream, whole[:cut], whole[cut:])
    assert (digest_of(*moved) == digest_of(*parts)) == (moved == parts)


def test_keys_come_back_from_key_files_and_segments_of_each_stream(tmp_path: Path) -> None:
    fs = OsFileSystem()
    wanted = []
    for at, stream in enumerate(RECORD_STREAMS):
        kept = [use(10 * at + 1, stream), use(10 * at + 2, stream)]
        write_keys(fs, str(keys_path(tmp_path, 1, stream)), kept)
        unsealed = [use(10 * at + 3, stream), use(10 * at + 4, stream)]
        keys_path(tmp_path, 2, stream).with_suffix(".seg").write_bytes(segment(*unsealed))
        wanted += kept + unsealed
    assert found(tmp_path) == wanted


@given(st.lists(st.tuples(NAMES, KEYS), max_size=5))
def test_what_is_written_to_a_key_file_comes_back(
    tmp_path_factory: pytest.TempPathFactory, names: list[tuple[str, str]]
) -> None:
    root = tmp_path_factory.mktemp("keys")
    uses = [KeyUse(NOW + number, Stream.ERROR, user, key) for number, (user, key) in enumerate(names)]
    path = keys_path(root, stream=Stream.ERROR)
    write_keys(OsFileSystem(), str(path), uses)
    if uses:
        assert found(root) == uses
    assert [name.name for name in path.parent.iterdir()] == [path.name]


@given(st.lists(st.tuples(NAMES, KEYS), max_size=5))
def test_what_is_in_a_segment_comes_back(
    tmp_path_factory: pytest.TempPathFactory, names: list[tuple[str, str]]
) -> None:
    root = tmp_path_factory.mktemp("keys")
    uses = [KeyUse(NOW + number, Stream.USAGE, user, key) for number, (user, key) in enumerate(names)]
    keys_path(root).with_suffix(".seg").write_bytes(segment(*uses))
    assert found(root) == uses


def test_names_longer_than_one_read_come_back(tmp_path: Path) -> None:
    uses = [KeyUse(NOW + number, Stream.USAGE, "\U0001f600" * 128, "k" * 254 + str(number)) for number in range(3)]
    keys_path(tmp_path).with_suffix(".seg").write_bytes(segment(*uses))
    assert found(tmp_path) == uses


def test_entries_without_a_key_are_passed_over(tmp_path: Path) -> None:
    plain = b"".join(frame.encode(Entry(NOW, "ann", b"{}\n" * 500, 500, None, "r")))
    data = segment(use(1)) + plain + segment(use(2)).removeprefix(frame.FILE_HEADER)
    keys_path(tmp_path).with_suffix(".seg").write_bytes(data)
    assert found(tmp_path) == [use(1), use(2)]


SECOND = segment(use(2)).removeprefix(frame.FILE_HEADER)
NAMES_END = frame.HEADER_BYTES + len("usér2key-2r".encode())


@pytest.mark.parametrize(
    "tail", [*(SECOND[:cut] for cut in range(frame.HEADER_BYTES)), bytes(10), bytes(5000)], ids=len
)
def test_a_tail_torn_before_or_within_its_header_costs_no_key_before_it(tmp_path: Path, tail: bytes) -> None:
    keys_path(tmp_path).with_suffix(".seg").write_bytes(segment(use(1)) + tail)
    assert found(tmp_path) == [use(1)]


@pytest.mark.parametrize(
    "tail",
    [
        *(SECOND[:cut] for cut in range(frame.HEADER_BYTES, len(SECOND))),
        SECOND[:NAMES_END] + bytes(len(SECOND) - NAMES_END),
        SECOND[: frame.HEADER_BYTES] + bytes(len(SECOND) - frame.HEADER_BYTES),
    ],
    ids=lambda tail: f"{len(tail)}-bytes-{tail.count(0)}-zeros",
)
def test_a_record_that_was_never_kept_leaves_no_key(tmp_path: Path, tail: bytes) -> None:
    """Its repetition would be acknowledged, and be kept nowhere."""
    keys_path(tmp_path).with_suffix(".seg").write_bytes(segment(use(1)) + tail)
    assert found(tmp_path) == [use(1)]


@pytest.mark.parametrize("ending", [".keys", ".seg"])
def test_a_file_that_cannot_be_read_costs_no_key_of_another(tmp_path: Path, ending: str) -> None:
    fs = OsFileSystem()
    for number in (1, 2, 3):
        write_keys(fs, str(keys_path(tmp_path, number)), [use(number)])
    bad = keys_path(tmp_path, 2).with_suffix(ending)
    bad.write_bytes(b"x")

    class Failing(OsFileSystem):
        def open(self, path: str, *, writable: bool = False) -> Handle:
            if path == str(bad):
                raise OSError(errno.EIO, "Input/output error", path)
            return super().open(path, writable=writable)

    with capturedLogs():
        kept = list(recent_keys(Failing(), str(tmp_path), NOW, quarantine(tmp_path)))
    assert {use(1), use(3)} <= set(kept)


def test_the_last_hour_reaches_into_the_slot_before_and_what_a_clock_that_was_ahead_wrote(tmp_path: Path) -> None:
    fs = OsFileSystem()
    for number in range(-2, 3):
        slot = Slot(SLOT.number + number)
        write_keys(fs, str(keys_path(tmp_path, slot=slot)), [use(number, received_ns=slot.start_ns + 10)])
    assert [Slot.at(one.received_ns).number - SLOT.number for one in found(tmp_path)] == [-1, 0, 1, 2]


def test_a_start_without_any_folder_finds_no_key(tmp_path: Path) -> None:
    assert found(tmp_path) == []


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"nonsense",
        b"\xff\xfe",
        b"[1]",
        b'[1,"a","b","c"]',
        b'["x","a","b"]',
        b'[null,"a","b"]',
        b'{"a":1}',
        b"7",
        b"\0" * 50,
        b'[1, "a',
        b'[1e64000000000000000, "a", "b"]',
        b"[" * 100_000,
    ],
    ids=lambda line: repr(line[:20]),
)
def test_a_damaged_line_is_reported_and_skipped(tmp_path: Path, line: bytes) -> None:
    path = keys_path(tmp_path)
    write_keys(OsFileSystem(), str(path), [use(1), use(2)])
    first, second = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([first, line, second, b""]))
    with capturedLogs() as events:
        assert found(tmp_path) == [use(1), use(2)]
    event, set_aside = [event for event in events if event["log_level"] is LogLevel.error]
    assert (event["path"], event["number"]) == (str(path), 2)
    assert Path(set_aside["path"]).read_bytes() == line
    assert path.read_bytes().splitlines() == [first, second]


def test_any_byte_flipped_in_a_key_file_costs_at_most_its_own_lines(tmp_path: Path) -> None:
    path = keys_path(tmp_path)
    write_keys(OsFileSystem(), str(path), [use(number) for number in range(3)])
    whole = path.read_bytes()
    with capturedLogs():
        for at in range(len(whole)):
            for flip in (0x01, 0x20, 0x80, 0xFF):
                data = bytearray(whole)
                data[at] ^= flip
                path.write_bytes(data)
                kept = set(found(tmp_path))
                assert kept <= {use(number) for number in range(3)}  # one that was never used would cost its record
                assert len(kept) >= 1  # a flipped line feed costs two
                assert (tmp_path / "quarantine").exists() == (len(kept) < 3)  # an escape in capitals is the same
                assert set(found(tmp_path)) == kept
                shutil.rmtree(tmp_path / "quarantine", ignore_errors=True)


def test_a_damaged_header_in_a_segment_costs_no_key_after_it(tmp_path: Path) -> None:
    data = segment(use(1), use(2), use(3))
    at = data.index("usér2".encode()) - 1
    keys_path(tmp_path).with_suffix(".seg").write_bytes(data[:at] + b"\xff" + data[at + 1 :])
    assert found(tmp_path) == [use(1), use(3)]


def test_a_damaged_name_in_a_segment_costs_no_key_after_it(tmp_path: Path) -> None:
    data = segment(use(1), use(2), use(3))
    at = data.index("usér2".encode())
    keys_path(tmp_path).with_suffix(".seg").write_bytes(data[:at] + b"\xff" + data[at + 1 :])
    with capturedLogs():
        kept = found(tmp_path)
    assert use(1) in kept
    assert use(3) in kept


def test_a_large_key_file_comes_back_whole(tmp_path: Path) -> None:
    """So many keys fit into one segment of 64 MiB."""
    uses = [KeyUse(NOW + number, Stream.USAGE, "\U0001f600" * 128, f"{number:0255}") for number in range(10_000)]
    frames = sum(len(frame.encode(Entry(one.received_ns, one.user, b"{}\n", 1, one.key, "r" * 32))[0]) for one in uses)
    assert frames < 64 << 20
    write_keys(OsFileSystem(), str(keys_path(tmp_path)), uses)
    with capturedLogs():
        assert len(found(tmp_path)) == len(uses)


def test_a_segment_sealed_while_it_is_looked_for_gives_its_keys(tmp_path: Path) -> None:
    path = keys_path(tmp_path).with_suffix(".seg")
    path.write_bytes(segment(use(1)))

    class Sealing(OsFileSystem):
        def exists(self, path: str) -> bool:
            if path.endswith(".seg") and os.path.exists(path):
                write_keys(OsFileSystem(), path.removesuffix(".seg") + ".keys", [use(1)])
                os.unlink(path)
            return super().exists(path)

    assert list(recent_keys(Sealing(), str(tmp_path), NOW, quarantine(tmp_path), {str(path)})) == [use(1)]


def test_what_the_present_process_has_in_a_segment_is_not_touched(tmp_path: Path) -> None:
    """Found by the simulation (seed 504): a start synced the segment being written to, and was told of the error that the
    flush beside it should have been told."""

    class Deaf(OsFileSystem):
        def open(self, path: str, *, writable: bool = False) -> Handle:
            raise AssertionError(path)

    keys_path(tmp_path).with_suffix(".seg").write_bytes(segment(use(1)))
    assert list(recent_keys(Deaf(), str(tmp_path), NOW, quarantine(tmp_path))) == []


def test_a_key_file_is_replaced_whole(tmp_path: Path) -> None:
    fs, path = OsFileSystem(), keys_path(tmp_path)
    Path(f"{path}.tmp").write_bytes(b"of a write that was cut short")
    write_keys(fs, str(path), [use(1)])
    write_keys(fs, str(path), [use(2)])
    assert found(tmp_path) == [use(2)]
    assert json.loads(path.read_bytes())[:3] == [NOW + 2, "usér2", "key-2"]
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_key_files_are_dropped_an_hour_after_their_hour(tmp_path: Path) -> None:
    fs, path = OsFileSystem(), keys_path(tmp_path)
    last = KeyUse(SLOT.end_ns - 1, Stream.USAGE, "ann", "last")
    write_keys(fs, str(path), [last])
    assert drop_old_keys(fs, str(tmp_path), SLOT.end_ns + HOUR_NS - 1) == 0
    assert found(tmp_path, SLOT.end_ns + HOUR_NS - 2) == [last]
    assert drop_old_keys(fs, str(tmp_path), SLOT.end_ns + HOUR_NS) == 1
    assert not path.parent.exists()
    assert path.parent.parent.exists()


def test_nothing_but_old_keys_is_dropped(tmp_path: Path) -> None:
    fs, path = OsFileSystem(), keys_path(tmp_path)
    others = [path.with_suffix(".seg"), path.with_suffix(".gz"), path.parent / "ledger.json", path.parent / "x.keys"]
    for other in others:
        other.write_bytes(b"x")
    strange = path.parent.parent / "lost+found"
    strange.mkdir()
    (strange / path.name).write_bytes(b"x")
    write_keys(fs, str(path), [use(1)])
    assert drop_old_keys(fs, str(tmp_path), SLOT.end_ns + 100 * HOUR_NS) == 1
    assert not path.exists()
    assert all(other.exists() for other in [*others, strange / path.name])


def test_hours_that_wait_for_days_are_not_listed_at_every_round(tmp_path: Path) -> None:
    class Counting(OsFileSystem):
        listed = 0

        def scan(self, path: str) -> Iterator[Name]:
            for entry in super().scan(path):
                self.listed += 1
                yield entry

    fs, path, searched, over = Counting(), keys_path(tmp_path), set[str](), SLOT.end_ns + HOUR_NS
    segment = path.parent / f"{2:08d}-{'b' * 32}.seg"
    for other in (segment, *(path.parent / f"{number:08d}-{'c' * 32}.gz" for number in range(3, 100))):
        other.write_bytes(b"x")
    write_keys(fs, str(path), [use(1)])
    assert drop_old_keys(fs, str(tmp_path), over, searched) == 1
    segment.unlink()  # sealed late
    write_keys(fs, str(path), [use(2)])
    assert drop_old_keys(fs, str(tmp_path), over + 1, searched) == 1
    fs.listed = 0
    for minute in range(60):
        assert drop_old_keys(fs, str(tmp_path), over + minute * 60_000_000_000, searched) == 0
    assert fs.listed <= 60 * 2


def test_keys_of_a_segment_of_an_earlier_process_count_once_it_is_sealed(tmp_path: Path) -> None:
    """Found by the simulation (seed 6138): a sync had failed, the process was killed before it could say so, and the next
    one's sync of the same file succeeded: a repetition was acknowledged, and the power took its record."""
    path = keys_path(tmp_path).with_suffix(".seg")
    path.write_bytes(segment(use(1)))
    with pytest.raises(NotDurable):
        list(recent_keys(OsFileSystem(), str(tmp_path), NOW, quarantine(tmp_path), {str(path)}))


@pytest_twisted.ensureDeferred
async def test_a_start_waits_for_the_seal_of_what_it_found_before_a_key_counts(tmp_path: Path) -> None:
    settings = Settings.model_validate(
        {"cache_dir": str(tmp_path / "cache"), "hostname": "h", "storage": {"directory": str(tmp_path / "objects")}}
    )
    folder = tmp_path / "cache" / "spool"
    folder.mkdir(parents=True)
    path = keys_path(folder).with_suffix(".seg")
    path.write_bytes(segment(use(1)))
    gateway = GatewayService(settings, now_ns=lambda: NOW)
    gateway.startService()
    await gateway.started
    for work in list(gateway._background):
        await ended(work)
    assert gateway.receiver.repeated(Stream.USAGE, use(1).user, use(1).key)
    assert not path.exists() and path.with_suffix(".keys").exists()
    await gateway.stopService()
