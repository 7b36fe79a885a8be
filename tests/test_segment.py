"""Reading a segment many frames at a time says what reading them one by one says, whatever happened to the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lf6gateway.disk import segment
from lf6gateway.disk.damaged import Damaged
from lf6gateway.disk.filesystem import OsFileSystem
from lf6gateway.disk.segment import Segment, read_segment
from lf6gateway.values import frame
from lf6gateway.values.entry import Entry
from lf6gateway.values.slot import Slot
from lf6gateway.values.stream import Stream

NOON = 1_700_000_000_000_000_000
ENTRIES = st.builds(
    Entry,
    received_ns=st.integers(NOON, NOON + 10**9),
    user=st.sampled_from(["ann", "b\u00e9a", ""]),
    lines=st.sampled_from([b"", b"1\n", b'{"a":1}\n' * 40, frame.MAGIC * 3 + b"\n"]),
    count=st.integers(0, 5),
    key=st.sampled_from([None, "k", "key-2"]),
    request_id=st.sampled_from(["r", "0" * 32]),
)


def read(path: Path) -> object:
    try:
        return list(read_segment(OsFileSystem(), Segment(Stream.USAGE, Slot.at(NOON), 1, "0" * 32, str(path))))
    except (Damaged, UnicodeDecodeError) as error:
        return type(error)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(ENTRIES, max_size=8), st.data())
def test_steps_agree_with_single_frames(tmp_path: Path, entries: list[Entry], data: st.DataObject) -> None:
    whole = bytearray(frame.FILE_HEADER + b"".join(frame.encode_all(entries)))
    for _ in range(data.draw(st.integers(0, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(whole)))
    path = tmp_path / "one.seg"
    path.write_bytes(whole[:cut] if data.draw(st.booleans()) else whole)
    found = []
    for step in (1, 60, 1 << 18):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(segment, "_FRAMES", step)
            found.append(read(path))
    assert found[0] == found[1] == found[2]


def test_what_was_written_is_read(tmp_path: Path) -> None:
    entries = [Entry(NOON + n, "ann", b'{"n":%d}\n' % n, 1, None, f"{n:032x}") for n in range(5_000)]
    path = tmp_path / "one.seg"
    path.write_bytes(frame.FILE_HEADER + b"".join(frame.encode_all(entries)))
    assert [whole.entry for whole in read(path)] == entries  # type: ignore[attr-defined]
