"""What lies in quarantine is counted whole and listed in part, with the notes beside it."""

from __future__ import annotations

import os
from pathlib import Path

from lf6gateway.disk.filesystem import OsFileSystem
from lf6gateway.disk.quarantine import Quarantine
from lf6gateway.disk.set_aside_count import listing
from lf6gateway.disk.timed import Syncs, TimedFileSystem, stream_of


def test_nothing_is_there(tmp_path: Path) -> None:
    found = listing(OsFileSystem(), str(tmp_path / "quarantine"), 10)
    assert (found.count, found.bytes, found.newest) == (0, 0, ())


def test_the_newest_are_told_of_with_their_notes(tmp_path: Path) -> None:
    fs = OsFileSystem()
    quarantine = Quarantine(fs, str(tmp_path / "quarantine"))
    for number in range(5):
        file = tmp_path / f"{number}.seg"
        file.write_bytes(b"x" * (number + 1))
        os.utime(file, (number, number))
        quarantine.take(str(file), "usage", f"why {number}")
    found = listing(fs, str(tmp_path / "quarantine"), 2)
    assert (found.count, found.bytes) == (5, 15)
    assert [(one.name, one.why, one.bytes) for one in found.newest] == [
        ("usage/4.seg", "why 4", 5),
        ("usage/3.seg", "why 3", 4),
    ]
    assert found.newest[0].origin == str(tmp_path / "4.seg")
    assert found.newest[0].at_ns > 1_700_000_000 * 10**9  # when it was set aside, not when it was written


def test_a_note_that_is_missing_or_damaged_hides_no_file(tmp_path: Path) -> None:
    folder = tmp_path / "usage"
    folder.mkdir()
    for name, note in (("a.seg", None), ("b.seg", b"{"), ("c.seg", b"[]"), ("d.seg", b'{"at":"x","why":"\xff"}')):
        (folder / name).write_bytes(b"x")
        if note is not None:
            (folder / f"{name}.why.json").write_bytes(note)
    assert listing(OsFileSystem(), str(tmp_path), 10).count == 4
    assert len(listing(OsFileSystem(), str(tmp_path), 10).newest) == 4


def test_syncs_are_timed_by_stream(tmp_path: Path) -> None:
    moments = iter(range(100))
    syncs = Syncs()
    fs = TimedFileSystem(OsFileSystem(), syncs, lambda: float(next(moments)))
    folder = tmp_path / "spool" / "usage" / "2026010100"
    fs.make_dirs(str(folder))
    handle = fs.create(str(folder / "x"))
    handle.write([b"abc"])
    handle.sync()
    fs.sync_dir(str(folder))
    fs.sync_dir(str(tmp_path))
    handle.close()
    assert handle.size is not None and (folder / "x").read_bytes() == b"abc"
    assert {name: one.count for name, one in syncs.seconds.items() if one.count} == {"usage": 2, "other": 1}
    taken = syncs.take()
    assert syncs.take() == {}
    syncs.add(taken)
    assert syncs.seconds["usage"].count == 2 and syncs.seconds["usage"].sum == 2.0
    assert stream_of("/c/spool/specimen/2026010100/1-a.part") == "specimen"
    assert stream_of("/c/spool.json") == "other"
