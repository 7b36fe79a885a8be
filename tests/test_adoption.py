"""What the Go original left is adopted, each thing once, wherever a crash falls."""

from __future__ import annotations

import gzip
import itertools
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


def test_names() -> None:
    assert parse_report("17.2.a.b") == OldReport(17, "a.b")
    assert parse_report("x.2.a") is None
    assert parse_specimen("20231114221320.000001.7.a%20b") == OldSpecimen(NOON + 1000, "a b")
    assert parse_specimen("20231114221320.7.a") == OldSpecimen(NOON, "a")
    assert parse_specimen("20231199221320.7.a") is None
    assert parse_specimen("10231114221320.7.a") is None  # before 1970; found by fuzzing
