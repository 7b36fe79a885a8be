"""What was set aside and is put back is delivered once, whether or not its object had it, and wherever a crash comes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lf6gateway.disk.filesystem import OsFileSystem
from lf6gateway.disk.put_back import ask, put_back
from lf6gateway.disk.set_aside import SetAside, listing
from lf6gateway.stores.memory import MemoryStore
from tests.deferreds import result_of
from tests.test_growth import Disk, lines

STEPS = ("create", "rename", "unlink", "sync_dir", "make_dirs")


class Crashing(OsFileSystem):
    """Fails at one of its steps, and at all that follow, as the disk of a process that was killed there."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.left = at

    def step(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise OSError("killed")


def _guarded(name: str) -> Any:
    def effect(self: Crashing, *arguments: Any) -> Any:
        self.step()
        return getattr(OsFileSystem, name)(self, *arguments)

    return effect


for step in STEPS:
    setattr(Crashing, step, _guarded(step))


def disk_at(cache: Path) -> Disk:
    (cache / "spool" / "quarantine").mkdir(parents=True)
    (cache / "quarantine").symlink_to(cache / "spool" / "quarantine")  # where this disk has it
    return Disk(cache / "spool", MemoryStore(), "a" * 16)


def set_aside_and_mended(disk: Disk, cache: Path, *, shipped: bool, closed: bool = False) -> SetAside:
    """The first of two members goes to quarantine, before it is shipped or after, and is mended there."""
    first = disk.seal(b'{"n":0}\n')
    sound = Path(first.path).read_bytes()
    if shipped:
        assert disk.ship()
    Path(first.path).write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
    disk.seal(b'{"n":1}\n')
    assert disk.ship()
    if closed:
        assert result_of(disk.hour.settle(over=True))
    (one,) = listing(disk.fs, str(cache))
    assert one.home is not None
    Path(one.path).write_bytes(sound)
    ask(disk.fs, one)
    return one


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("shipped", [False, True])
def test_a_member_is_in_its_object_once(tmp_path: Path, shipped: bool, closed: bool) -> None:
    disk = disk_at(tmp_path)
    set_aside_and_mended(disk, tmp_path, shipped=shipped, closed=closed)
    assert put_back(disk.fs, str(tmp_path)) == 1
    disk.start()
    assert disk.ship()
    assert sorted(lines(disk.store)) == [b'{"n":0}\n', b'{"n":1}\n']
    assert list(listing(disk.fs, str(tmp_path))) == []


@pytest.mark.parametrize("at", range(16))
def test_a_crash_at_any_step_neither_loses_nor_doubles_it(tmp_path: Path, at: int) -> None:
    disk = disk_at(tmp_path)
    set_aside_and_mended(disk, tmp_path, shipped=bool(at % 2))
    put_back(Crashing(at), str(tmp_path))
    disk.start()
    assert disk.ship()  # a start that came to nothing may have shipped
    put_back(disk.fs, str(tmp_path))
    disk.start()
    assert disk.ship()
    assert sorted(lines(disk.store)) == [b'{"n":0}\n', b'{"n":1}\n']
    assert os.listdir(tmp_path / "quarantine" / "usage") == []


def test_a_member_that_lies_in_the_spool_in_another_form_stays_aside(tmp_path: Path) -> None:
    disk = disk_at(tmp_path)
    one = set_aside_and_mended(disk, tmp_path, shipped=False)
    there = Path(one.source).with_suffix(".seg")
    there.write_bytes(b"")
    assert put_back(disk.fs, str(tmp_path)) == 0
    (still,) = listing(disk.fs, str(tmp_path))
    assert (still.bytes, still.wanted) == (one.bytes, False)
