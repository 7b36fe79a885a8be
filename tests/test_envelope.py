"""The envelope: what was sent comes out of it byte for byte, and its id is one for ever."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from lf6gateway.disk.filesystem import OsFileSystem
from lf6gateway.disk.folders import file_name, hour_folder
from lf6gateway.disk.quarantine import Quarantine
from lf6gateway.disk.seal import seal
from lf6gateway.disk.segment import Segment
from lf6gateway.values import frame
from lf6gateway.values.entry import Entry
from lf6gateway.values.envelope import Envelope, format_received
from lf6gateway.values.json_record import check_batch
from lf6gateway.values.slot import Slot
from lf6gateway.values.stream import Stream
from lf6gateway.values.username import BadUsername, check_username

SLOT = Slot(490_000)
SEGMENT = "5e" * 16
WORDS = st.text(st.characters(codec="utf-8"), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=8,
)
FORMS = st.sampled_from(
    [
        lambda value: json.dumps(value, ensure_ascii=False),
        lambda value: json.dumps(value),
        lambda value: json.dumps(value, separators=(" ,\t", " :  ")),
        lambda value: f'{{"data":{json.dumps(value)},"data":1e400,"id":-0.0}}',
    ]
)


def enveloped(root: Path, data: bytes, envelope: Envelope | None) -> list[bytes]:
    """The lines that a segment with these frames is sealed into."""
    folder = Path(hour_folder(str(root), Stream.USAGE, SLOT))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file_name(1, SEGMENT, "seg")
    path.write_bytes(frame.FILE_HEADER + data)
    fs = OsFileSystem()
    segment = Segment(Stream.USAGE, SLOT, 1, SEGMENT, str(path))
    quarantine = Quarantine(fs, str(root / "quarantine"))
    made = seal(fs, segment, spool="a" * 16, level=1, quarantine=quarantine, envelope=envelope)
    assert made.member_file is not None
    lines = gzip.decompress(Path(made.member_file.path).read_bytes()).splitlines(keepends=True)
    assert made.member_file.member.records == len(lines)
    assert made.member_file.member.raw_bytes == sum(map(len, lines))
    Path(made.member_file.path).unlink()
    return lines


def entry_of(lines: bytes, user: str = "alice", received_ns: int = SLOT.start_ns) -> Entry:
    return Entry(received_ns, user, lines, lines.count(b"\n"), None, "r")


def inside(line: bytes) -> bytes:
    """The bytes of ``data``, which is the last member, found without reading JSON again."""
    start = line.index(b'"host":"a-host","data":') + len(b'"host":"a-host","data":')
    assert line.endswith(b"}\n")
    return line[start:-2]


@given(
    st.lists(st.tuples(VALUES, FORMS), min_size=1, max_size=30),
    st.text(min_size=1, max_size=128),
    st.integers(0, 2**63),
    st.integers(0, 2**40),
)
@example([("", json.dumps)], 'a"\u2028', 0, 0)
def test_data_round_trips_byte_for_byte(values: list[tuple], user: str, received_ns: int, offset: int) -> None:
    try:
        check_username(user)
    except BadUsername:
        return
    body = "\n".join(form(value) for value, form in values).encode()
    lines, count = check_batch(body)
    made = b"".join(Envelope("a.host").wrap(Entry(received_ns, user, lines, count, None, "r"), SEGMENT, offset))
    assert b"".join(inside(line) + b"\n" for line in made.splitlines(keepends=True)) == lines
    for line in made.splitlines():
        assert len(line[: line.index(b'"data":')].decode().splitlines()) == 1  # also where U+2028 ends a line
        one = json.loads(line)
        assert list(one) == ["received_at", "user", "id", "host", "data"]
        assert one["user"] == user
        assert one["received_at"] == format_received(received_ns)
        assert one["host"] == "a-host"


def test_the_moment_has_nine_digits_and_is_utc() -> None:
    assert format_received(1_700_000_000_000_000_001) == "2023-11-14T22:13:20.000000001Z"
    assert format_received(0) == "1970-01-01T00:00:00.000000000Z"


def test_each_record_has_its_own_id_which_sealing_again_gives_again(tmp_path: Path) -> None:
    batch = b"1\n" * 100_000  # beyond a block, and as many records as a frame of this length can hold
    data = b"".join(
        b"".join(frame.encode(entry)) for entry in (entry_of(batch), entry_of(b'{"n":1}\n'), entry_of(batch))
    )
    first = enveloped(tmp_path, data, Envelope("a.host"))
    ids = [json.loads(line)["id"] for line in first]
    assert len(set(ids)) == 200_001
    assert sorted(ids) == ids
    assert enveloped(tmp_path, data, Envelope("a.host")) == first
    assert [inside(line) + b"\n" for line in first] == enveloped(tmp_path, data, None)


def test_an_id_does_not_change_where_a_frame_before_it_is_damaged(tmp_path: Path) -> None:
    frames = [b"".join(frame.encode(entry_of(b'{"n":%d}\n' % number))) for number in range(3)]
    sound = enveloped(tmp_path / "a", b"".join(frames), Envelope("a.host"))
    damaged = frames[0][:-2] + b"X\n" + frames[1] + frames[2]
    assert enveloped(tmp_path / "b", damaged, Envelope("a.host")) == sound[1:]


def test_a_batch_of_tiny_records_is_wrapped_some_at_a_time() -> None:
    pieces = Envelope("a.host").wrap(entry_of(b"1\n" * 1_000_000), SEGMENT, 9)
    assert max(map(len, pieces)) < 8 * 1024 * 1024
