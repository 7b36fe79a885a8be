"""The journal: durable before acknowledged, in order, in the right hour, and never again a segment that failed."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from twisted.python.failure import Failure

from lf6gateway.disk.filesystem import Handle, OsFileSystem
from lf6gateway.disk.journal import Journal
from lf6gateway.disk.offload import inline
from lf6gateway.disk.segment import Segment, Whole, read_segment
from lf6gateway.disk.space import Space
from lf6gateway.disk.unavailable import SpoolUnavailable
from lf6gateway.values.entry import Entry
from lf6gateway.values.slot import HOUR_NS, Slot
from lf6gateway.values.stream import Stream
from tests.deferreds import result_of
from tests.later import Later

NOON = 490_000 * HOUR_NS


class WatchedHandle:
    """A file that notes its effects, and fails where it is told to."""

    def __init__(self, handle: Handle, path: str, fs: WatchedFileSystem) -> None:
        self._handle, self._path, self._fs = handle, os.path.basename(path), fs

    def write(self, parts: Sequence[bytes | bytearray | memoryview]) -> None:
        self._fs.note("write", self._path)
        if self._fs.tear is not None:
            tear, self._fs.tear = self._fs.tear, None
            self._handle.write([b"".join(bytes(part) for part in parts)[:tear]])
            raise OSError(errno.ENOSPC, "No space left on device")
        self._handle.write(parts)

    def truncate(self, size: int) -> None:
        self._fs.note("truncate", self._path)
        self._handle.truncate(size)

    def sync(self) -> None:
        self._fs.note("sync", self._path)
        self._handle.sync()

    def __getattr__(self, name: str) -> object:
        return getattr(self._handle, name)


class WatchedFileSystem(OsFileSystem):
    """The real file system, with a record of every effect."""

    def __init__(self) -> None:
        super().__init__()
        self.effects: list[tuple[str, str]] = []
        self.fail: dict[str, OSError] = {}
        self.tear: int | None = None

    def note(self, effect: str, name: str) -> None:
        self.effects.append((effect, name))
        error = self.fail.pop(effect, None)
        if error is not None:
            raise error

    def create(self, path: str) -> Handle:
        self.note("create", os.path.basename(path))
        return WatchedHandle(super().create(path), path, self)  # type: ignore[return-value]

    def sync_dir(self, path: str) -> None:
        self.note("sync_dir", os.path.basename(path))
        super().sync_dir(path)


class Desk:
    """A journal with all it needs, on a folder of the test's."""

    def __init__(self, root: Path, offload: object = inline, segment_bytes: int = 1 << 20) -> None:
        self.fs = WatchedFileSystem()
        self.closed: list[Segment] = []
        self.space = Space(1 << 40, 0, 0, monotonic=lambda: 0.0)
        numbers = itertools.count(1)
        self.root = str(root / "spool")
        self.journal = Journal(
            fs=self.fs,
            root=self.root,
            stream=Stream.USAGE,
            offload=offload,  # type: ignore[arg-type]
            space=self.space,
            segment_bytes=segment_bytes,
            new_id=lambda: f"{next(numbers):032x}",
            closed=self.closed.append,
        )

    def lines(self) -> list[list[bytes]]:
        """What the closed segments hold, each as its entries' lines."""
        return [
            [found.entry.lines for found in read_segment(self.fs, segment) if isinstance(found, Whole)]
            for segment in self.closed
        ]


def entry(number: int, received_ns: int = NOON) -> Entry:
    return Entry(received_ns + number, "alice", b'{"n":%d}\n' % number, 1, None, f"request-{number}")


def test_an_entry_is_acknowledged_after_its_bytes_and_its_name_are_durable(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    seen: list[list[tuple[str, str]]] = []
    desk.journal.append(entry(1)).addCallback(lambda _: seen.append(list(desk.fs.effects)))
    name = f"00000001-{1:032x}.seg"
    slot = Slot.at(NOON).name
    above = [("sync_dir", parent.name) for parent in reversed(tmp_path.parents)]
    assert seen == [
        [
            *above,
            ("sync_dir", tmp_path.name),
            ("sync_dir", "spool"),
            ("sync_dir", "usage"),
            ("create", name),
            ("write", name),
            ("sync", name),
            ("sync_dir", slot),
            ("write", name),
            ("sync", name),
        ]
    ]


def test_entries_that_arrive_during_a_flush_share_the_next(tmp_path: Path) -> None:
    later = Later()
    desk = Desk(tmp_path, later)
    order: list[int] = []
    for number in range(10):
        desk.journal.append(entry(number)).addCallback(lambda _, number=number: order.append(number))
    later.run()
    assert order == [0]
    later.run()
    assert order == list(range(10))
    assert not later.waiting
    assert [effect for effect, _ in desk.fs.effects].count("sync") == 3  # the file's header, then two flushes


def test_nothing_is_acknowledged_while_the_flush_runs(tmp_path: Path) -> None:
    later = Later()
    desk = Desk(tmp_path, later)
    waiting = desk.journal.append(entry(1))
    assert not waiting.called
    assert desk.journal.waiting_bytes > 0
    later.run()
    assert waiting.called
    assert desk.journal.waiting_bytes == 0


def test_a_new_hour_closes_the_segment_even_within_one_flush(tmp_path: Path) -> None:
    later = Later()
    desk = Desk(tmp_path, later)
    desk.journal.append(entry(0))
    for number in range(1, 4):
        desk.journal.append(entry(number, NOON + HOUR_NS - 2))
    later.run()
    later.run()
    rotated = desk.journal.rotate()
    later.run()
    result_of(rotated)
    assert [segment.slot.number for segment in desk.closed] == [490_000, 490_001]
    assert desk.lines() == [[b'{"n":0}\n', b'{"n":1}\n'], [b'{"n":2}\n', b'{"n":3}\n']]


def test_what_an_error_behind_the_hours_turn_did_not_reach_is_acknowledged(tmp_path: Path) -> None:
    """Found by the simulation (seed 15411): the first hour's records of a flush were on stable storage, and delivered,
    when the next hour's segment could not be made; all of the flush was refused, and a repetition stored twice."""
    later = Later()
    desk = Desk(tmp_path, later)
    outcomes: list[object] = []
    desk.journal.append(entry(0))
    for number in range(1, 4):
        desk.journal.append(entry(number, NOON + HOUR_NS - 2)).addBoth(outcomes.append)
    later.run()
    desk.fs.fail["create"] = OSError(errno.EIO, "Input/output error")
    later.run()
    assert outcomes[0] is None
    assert [isinstance(outcome, Failure) for outcome in outcomes] == [False, True, True]
    assert desk.lines() == [[b'{"n":0}\n', b'{"n":1}\n']]


def test_a_segment_is_closed_at_its_size(tmp_path: Path) -> None:
    desk = Desk(tmp_path, segment_bytes=100)
    for number in range(6):
        result_of(desk.journal.append(entry(number)))
    assert len(desk.closed) >= 2
    assert [segment.ordinal for segment in desk.closed] == list(range(1, len(desk.closed) + 1))


def test_rotating_an_empty_journal_makes_no_file(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    result_of(desk.journal.rotate())
    assert desk.closed == []
    assert desk.fs.effects == []


@pytest.mark.parametrize("effect", ["sync", "write"])
def test_after_an_error_the_segment_is_not_trusted_again(tmp_path: Path, effect: str) -> None:
    desk = Desk(tmp_path)
    result_of(desk.journal.append(entry(1)))
    desk.fs.fail[effect] = OSError(errno.EIO, "Input/output error")
    with pytest.raises(SpoolUnavailable, match="Input/output error"):
        result_of(desk.journal.append(entry(2)))
    refusal = desk.space.refusal(1)
    assert refusal is not None
    assert refusal.reason == "disk_failing"
    result_of(desk.journal.append(entry(3)))
    assert desk.space.refusal(1) is None
    result_of(desk.journal.rotate())
    assert desk.lines() == [[b'{"n":1}\n'], [b'{"n":3}\n']]


def test_what_was_refused_is_cut_off_durably_before_anybody_is_told(tmp_path: Path) -> None:
    """Found by the simulation (seed 304774): the cut was lost with the power, and what had been refused and sent again
    was there twice."""
    desk = Desk(tmp_path)
    result_of(desk.journal.append(entry(1)))
    desk.fs.fail["sync"] = OSError(errno.EIO, "Input/output error")
    desk.fs.effects.clear()
    seen: list[list[str]] = []
    desk.journal.append(entry(2)).addErrback(lambda _: seen.append([effect for effect, _ in desk.fs.effects]))
    assert seen == [["write", "sync", "truncate", "sync"]]


def test_a_cut_that_fails_is_tried_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    result_of(desk.journal.append(entry(1)))
    desk.fs.fail["sync"] = desk.fs.fail["truncate"] = OSError(errno.EIO, "Input/output error")
    desk.fs.effects.clear()
    seen: list[list[str]] = []
    desk.journal.append(entry(2)).addErrback(lambda _: seen.append([effect for effect, _ in desk.fs.effects]))
    assert seen == [["write", "sync", "truncate", "truncate", "sync"]]


def test_a_half_written_tail_is_never_sealed(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    result_of(desk.journal.append(entry(1)))
    used = desk.space.used
    desk.fs.tear = 30
    with pytest.raises(SpoolUnavailable):
        result_of(desk.journal.append(entry(2)))
    assert desk.space.used == used
    assert desk.lines() == [[b'{"n":1}\n']]
    assert os.path.getsize(desk.closed[0].path) == desk.closed[0].size


def test_a_file_that_cannot_be_made_fails_the_flush_alone(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.fs.fail["create"] = OSError(errno.EMFILE, "Too many open files")
    with pytest.raises(SpoolUnavailable, match="Too many open files"):
        result_of(desk.journal.append(entry(1)))
    result_of(desk.journal.append(entry(2)))
    result_of(desk.journal.rotate())
    assert desk.lines() == [[b'{"n":2}\n']]


def test_a_restart_goes_on_behind_the_ordinals_that_are_there(tmp_path: Path) -> None:
    first = Desk(tmp_path)
    result_of(first.journal.append(entry(1)))
    second = Desk(tmp_path)
    second.journal._new_id = lambda: "f" * 32
    result_of(second.journal.append(entry(2)))
    result_of(second.journal.rotate())
    assert second.closed[0].ordinal == 2


def test_a_closed_journal_takes_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    result_of(desk.journal.append(entry(1)))
    result_of(desk.journal.close())
    assert len(desk.closed) == 1
    with pytest.raises(SpoolUnavailable, match="draining"):
        result_of(desk.journal.append(entry(2)))


def test_an_hour_is_waiting_until_its_segment_is_closed(tmp_path: Path) -> None:
    later = Later()
    desk = Desk(tmp_path, later)
    slot = Slot.at(NOON)
    desk.journal.append(entry(1))
    assert desk.journal.has_waiting(slot)
    later.run()
    assert desk.journal.has_waiting(slot)
    desk.journal.rotate()
    later.run()
    assert not desk.journal.has_waiting(slot)


def test_an_abandoned_journal_begins_no_flush_and_says_so_to_who_waits(tmp_path: Path) -> None:
    later = Later()
    desk = Desk(tmp_path, later)
    kept = desk.journal.append(entry(1))
    waiting = desk.journal.append(entry(2))
    rotation = desk.journal.rotate()
    desk.journal.abandon()
    with pytest.raises(SpoolUnavailable):
        result_of(waiting)
    assert rotation.called and desk.journal.rotate().called
    later.run()
    assert kept.called and later.waiting == []
    assert desk.journal.waiting_bytes == 0
    with pytest.raises(SpoolUnavailable):
        result_of(desk.journal.append(entry(3)))
