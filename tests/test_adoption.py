"""What the Go original left is adopted, each thing once, wherever a crash falls."""

from __future__ import annotations

import gzip
import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from lf6gateway.disk.adoption import Adoption
from lf6gateway.disk.filesystem import Handle, OsFileSystem
from lf6gateway.disk.folders import waiting_hours
from lf6gateway.disk.quarantine import Quarantine
from lf6gateway.disk.segment import Whole, read_segment
from lf6gateway.disk.specimen_adoption import SpecimenAdoption
from lf6gateway.disk.specimen_file import read_specimen, verify
from lf6gateway.disk.specimens import take_stock, waiting_specimens
from lf6gateway.values.go_cache import OldReport, OldSpecimen, parse_report, parse_specimen
from lf6gateway.values.slot import Slot
from lf6gateway.values.stream import Stream
from tests.simulation.chance import Chance
from tests.simulation.disk import Disk, Mount

NOON = 1_700_000_000_000_000_000


class Crash(BaseException):
    """The process ends here."""


class MortalFileSystem(OsFileSystem):
    """The real file system; the process dies at one of its effects."""

    def __init__(self, lives: int | None = None) -> None:
        super().__init__()
        self.effects = 0
        self._lives = lives

    def step(self) -> None:
        self.effects += 1
        if self._lives is not None and self.effects > self._lives:
            raise Crash

    def create(self, path: str) -> Handle:
        self.step()
        return super().create(path)

    def rename(self, source: str, target: str) -> None:
        self.step()
        super().rename(source, target)

    def unlink(self, path: str) -> None:
        self.step()
        super().unlink(path)

    def sync_dir(self, path: str) -> None:
        self.step()
        super().sync_dir(path)


def leave(cache: Path) -> None:
    """What a Go gateway may leave: reports, some of them being uploaded, a cut aggregate, specimens, and rubbish."""
    for folder in (
        "usage/aggregation",
        "usage/uploading",
        "error/aggregation",
        "error/uploading",
        "specimen/uploading",
    ):
        (cache / folder).mkdir(parents=True)
    (cache / "usage" / f"{NOON}.1.alice").write_bytes(b'{"n":1,\n"m":2}')
    (cache / "usage" / f"{NOON + 3_600_000_000_000}.1.bob.of.here").write_bytes(b'{"n":2}')
    (cache / "usage" / f"{NOON + 5}.1.carol").write_bytes(b'{"n":')
    (cache / "usage" / "rubbish").write_bytes(b"?")
    (cache / "usage" / "aggregation" / f"{NOON + 7}.1.dave").write_bytes(b'{"n":3}')
    both = b'{"n":3}\n{"n":4,\n"m":1}\n'
    (cache / "usage" / "uploading" / f"aggregate_{NOON + 9}.gz").write_bytes(gzip.compress(both))
    (cache / "error" / "uploading" / f"aggregate_{NOON + 9}.gz").write_bytes(gzip.compress(b'{"e":1}\n' * 2)[:-6])
    (cache / "specimen" / "20231114221320.5.77.file%3A%2F%2F%2Fa%2Fb.png").write_bytes(b"picture")
    (cache / "specimen" / "uploading" / "20231114221321.77.x+y").write_bytes(b"other")


def adopt(cache: Path, fs: OsFileSystem, numbers: Iterator[int]) -> None:
    root = str(cache / "spool")
    quarantine = Quarantine(fs, str(cache / "quarantine"))
    Adoption(fs, str(cache), root, quarantine=quarantine, new_id=lambda: f"{next(numbers):032x}").run()
    SpecimenAdoption(fs, str(cache), root, quarantine=quarantine).run()
    take_stock(fs, root, 0, lambda path: False)


def lines(cache: Path, stream: Stream) -> list[tuple[Slot, bytes]]:
    fs = OsFileSystem()
    found = []
    for hour in waiting_hours(fs, str(cache / "spool"), stream):
        for segment in hour.segments:
            for one in read_segment(fs, segment):
                assert isinstance(one, Whole)
                found += [(hour.slot, line) for line in one.entry.lines.splitlines()]
    return found


def check(cache: Path) -> None:
    slot = Slot.at(NOON)
    usage = lines(cache, Stream.USAGE)
    assert sorted(usage, key=lambda one: one[1]) == [
        (slot, b'{"n":1, "m":2}'),
        (Slot(slot.number + 1), b'{"n":2}'),
        (slot, b'{"n":3}'),
        (slot, b'{"n":4, "m":1}'),
    ]
    assert [line for _, line in lines(cache, Stream.ERROR)] == [b'{"e":1}'] * 2
    fs = OsFileSystem()
    found = [read_specimen(fs, path) for path, _ in waiting_specimens(fs, str(cache / "spool"))]
    for specimen in found:
        verify(fs, specimen)
    assert sorted((one.head.uri, one.length) for one in found) == [("file:///a/b.png", 7), ("x y", 5)]
    # A crash between the note and the move makes the name another one at the next try.
    paths = (cache / "quarantine").rglob("*")
    set_aside = sorted(path.name for path in paths if path.is_file() and not path.name.endswith(".why.json"))
    wanted = sorted(["rubbish", f"{NOON + 5}.1.carol", f"aggregate_{NOON + 9}.gz"])
    assert len(set_aside) == len(wanted)
    assert all(found.startswith(name) for found, name in zip(set_aside, wanted, strict=True))
    for stream in Stream:
        assert not (cache / stream.value).exists()


def test_everything_is_adopted(tmp_path: Path) -> None:
    leave(tmp_path)
    adopt(tmp_path, OsFileSystem(), itertools.count())
    check(tmp_path)
    adopt(tmp_path, OsFileSystem(), itertools.count(100))
    check(tmp_path)


def test_a_crash_at_any_step_neither_loses_nor_doubles(tmp_path: Path) -> None:
    whole = MortalFileSystem()
    leave(tmp_path / "whole")
    adopt(tmp_path / "whole", whole, itertools.count())
    assert whole.effects > 40
    for lives in range(whole.effects):
        cache = tmp_path / str(lives)
        leave(cache)
        numbers = itertools.count()
        with pytest.raises(Crash):
            adopt(cache, MortalFileSystem(lives), numbers)
        adopt(cache, OsFileSystem(), numbers)
        check(cache)


def begun(disk: Disk) -> str:
    """An adoption that was killed, or failed, when its segment was written; its path."""
    disk.put(f"/cache/usage/{NOON}.1.alice", b'{"n":1}')
    disk.put(f"/cache/usage/{NOON + 1}.1.alice", b'{"n":2}')
    fs = Mount(disk)
    disk.faults.sync, disk.calm = 1.0, False
    with pytest.raises(OSError, match="Input/output"):
        adoption(fs).run()
    disk.calm = True
    disk.kill()
    (path,) = [path for path in disk.files("/cache/spool/") if path.endswith(".adopt")]
    return path


def adoption(fs: Mount) -> Adoption:
    numbers = itertools.count()
    return Adoption(
        fs,
        "/cache",
        "/cache/spool",
        quarantine=Quarantine(fs, "/cache/quarantine"),
        new_id=lambda: f"{next(numbers):032x}",
    )


def adopted(disk: Disk) -> list[bytes]:
    fs = Mount(disk)
    return [
        one.entry.lines
        for hour in waiting_hours(fs, "/cache/spool", Stream.USAGE)
        for segment in hour.segments
        for one in read_segment(fs, segment)
        if isinstance(one, Whole) and one.entry.count
    ]


def test_a_segment_that_was_never_synced_is_made_anew_before_its_sources_go() -> None:
    """Found by the simulation (seed 26): it was whole in the page cache, its sources were removed, and the power went."""
    disk = Disk(Chance(1), lambda what: None, Counter())
    begun(disk)
    adoption(Mount(disk)).run()
    disk.crash(0.0)
    adoption(Mount(disk)).run()
    assert adopted(disk) == [b'{"n":1}\n', b'{"n":2}\n']


@pytest.mark.parametrize("sources_gone", [False, True])
@pytest.mark.parametrize("unreadable", [False, True])
def test_a_begun_segment_that_is_damaged_holds_up_no_start(sources_gone: bool, unreadable: bool) -> None:
    """Found by the simulation: a sector that could not be read kept the gateway from starting, for ever; a damaged end
    made it remove the segment though its sources were gone."""
    disk = Disk(Chance(1), lambda what: None, Counter())
    path = begun(disk)
    if sources_gone:
        for name in disk.files("/cache/usage/"):
            disk.unlink(name)
    inode = disk.inode(path)
    if unreadable:
        inode.bad.append((len(inode.data) - 10, len(inode.data)))
    else:
        inode.data[-10] ^= 1
    fs = Mount(disk)
    adoption(fs).run()
    set_aside = [name for name in disk.files("/cache/quarantine/") if not name.endswith(".why.json")]
    if sources_gone:
        inode.bad.clear()
        assert adopted(disk) == [b'{"n":1}\n', b'{"n":2}\n']
        assert not set_aside  # the seal will do it
    else:
        assert adopted(disk) == [b'{"n":1}\n', b'{"n":2}\n']
        assert len(set_aside) == 1


def test_names() -> None:
    assert parse_report("17.2.a.b") == OldReport(17, "a.b")
    assert parse_report("x.2.a") is None
    assert parse_specimen("20231114221320.000001.7.a%20b") == OldSpecimen(NOON + 1000, "a b")
    assert parse_specimen("20231114221320.7.a") == OldSpecimen(NOON, "a")
    assert parse_specimen("20231199221320.7.a") is None
    assert parse_specimen("10231114221320.7.a") is None  # before 1970; found by fuzzing
