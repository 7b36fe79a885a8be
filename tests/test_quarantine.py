"""What cannot be read is set aside whole, with its note, whatever fails on the way."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from lf6gateway.disk.quarantine import Quarantine
from tests.test_specimen_file import FaultyFileSystem


def effects_of_taking(folder: Path) -> list[str]:
    fs = FaultyFileSystem()
    (folder / "damaged").write_bytes(b"odd")
    assert Quarantine(fs, str(folder / "quarantine")).take(str(folder / "damaged"), "usage", "odd") == 3
    return [effect for effect, _ in fs.effects]


def test_the_note_is_durable_before_the_file_is_moved(tmp_path: Path) -> None:
    effects = effects_of_taking(tmp_path)
    moved = effects.index("rename")
    assert effects[moved - 4 : moved] == ["create", "write", "sync", "sync_dir"]
    assert effects[moved + 1 :] == ["sync_dir", "sync_dir"]
    (kept,) = (tmp_path / "quarantine" / "usage").glob("damaged")
    assert kept.read_bytes() == b"odd"
    note = json.loads((tmp_path / "quarantine" / "usage" / "damaged.why.json").read_text())
    assert (note["why"], note["bytes"], note["from"]) == ("odd", 3, str(tmp_path / "damaged"))


@pytest.mark.parametrize("behind", [1, 2])
def test_what_fails_behind_the_move_is_no_reason_to_move_it_again(tmp_path: Path, behind: int) -> None:
    (tmp_path / "once").mkdir()
    before = effects_of_taking(tmp_path / "once")
    syncs = before[: before.index("rename")].count("sync_dir")
    (tmp_path / "again").mkdir()
    lost = tmp_path / "again" / "damaged"
    lost.write_bytes(b"odd")
    fs = FaultyFileSystem()
    fs.fail["sync_dir", syncs + behind] = OSError(errno.EIO, "input/output error")
    quarantine = Quarantine(fs, str(tmp_path / "again" / "quarantine"))
    assert quarantine.take(str(lost), "usage", "odd") == 3
    assert not lost.exists() and (quarantine.taken, quarantine.taken_bytes) == (1, 3)


def test_what_fails_before_the_move_leaves_it_where_it_is(tmp_path: Path) -> None:
    lost = tmp_path / "damaged"
    lost.write_bytes(b"odd")
    fs = FaultyFileSystem()
    fs.fail["rename", 1] = OSError(errno.EIO, "input/output error")
    quarantine = Quarantine(fs, str(tmp_path / "quarantine"))
    with pytest.raises(OSError):
        quarantine.take(str(lost), "usage", "odd")
    assert lost.read_bytes() == b"odd" and quarantine.taken == 0
