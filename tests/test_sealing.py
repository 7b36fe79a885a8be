"""When segments are sealed."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from lf6gateway.disk.filesystem import OsFileSystem
from lf6gateway.disk.folders import MemberFile, waiting_hours
from lf6gateway.disk.journal import Journal
from lf6gateway.disk.offload import inline
from lf6gateway.disk.quarantine import Quarantine
from lf6gateway.disk.seal import Sealed, seal
from lf6gateway.disk.segment import Segment
from lf6gateway.disk.space import Space
from lf6gateway.services.sealing import SealService
from lf6gateway.values.entry import Entry
from lf6gateway.values.retry import RetryPolicy
from lf6gateway.values.slot import HOUR_NS, Slot
from lf6gateway.values.stream import Stream
from tests.deferreds import result_of

T = TypeVar("T")
HOUR = Slot(400_000)
START = HOUR.start_ns + 60 * 10**9


class Steps:
    """An offload whose jobs run when the test says so."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Callable[[], Any], Deferred[Any]]] = []
        self.at_once = True

    def __call__(self, work: Callable[[], T], /) -> Deferred[T]:
        if self.at_once:
            return inline(work)
        done: Deferred[T] = Deferred()
        self.jobs.append((work, done))
        return done

    def run(self) -> None:
        work, done = self.jobs.pop(0)
        try:
            outcome = work()
        except Exception:
            outcome = Failure()
        done.callback(outcome)


class Bench:
    """A journal and its sealing on real files, with a clock that tells both kinds of time."""

    def __init__(self, folder: Path, *, interval: float = 600.0) -> None:
        self.clock = Clock()
        self.began = START
        self.fs = OsFileSystem()
        self.root = str(folder / "spool")
        self.space = Space(1 << 40, 1, 1, monotonic=self.clock.seconds)
        self.members: list[tuple[Slot, MemberFile]] = []
        self.trouble: Callable[[Segment], None] = lambda segment: None
        self.offload = Steps()
        self.flushing = Steps()
        self.attempts: list[tuple[float, int, int]] = []
        self.salvaged: list[bool] = []
        self.quarantine = Quarantine(self.fs, str(folder / "quarantine"))
        self.real = partial(seal, self.fs, spool="0" * 16, level=1, quarantine=self.quarantine)
        self.service = SealService(
            stream=Stream.USAGE,
            journal=None,
            offload=self.offload,
            seal=self.seal,
            clock=self.clock,
            now_ns=self.now_ns,
            interval_s=interval,
            on_sealed=self.on_sealed,
            space=self.space,
            retry=RetryPolicy(1.0, 60.0),
            random=lambda: 0.999,
        )
        self.service.journal = self.journal = self.new_journal()

    def new_journal(self) -> Journal:
        ids = itertools.count(1)
        prefix = len(getattr(self, "journals", []))
        self.journals = [*getattr(self, "journals", []), None]
        return Journal(
            fs=self.fs,
            root=self.root,
            stream=Stream.USAGE,
            offload=self.flushing,
            space=self.space,
            segment_bytes=1 << 20,
            new_id=lambda: f"{prefix:016x}{next(ids):016x}",
            closed=self.service.closed,
        )

    def seal(self, segment: Segment, salvage: bool) -> Sealed:
        self.salvaged.append(salvage)
        self.attempts.append((self.clock.seconds(), segment.slot.number, segment.ordinal))
        self.trouble(segment)
        return self.real(segment, salvage=salvage)

    def on_sealed(self, slot: Slot, file: MemberFile) -> None:
        self.members.append((slot, file))

    def now_ns(self) -> int:
        return self.began + int(self.clock.seconds() * 1e9)

    def put(self, text: str, slot: Slot | None = None) -> None:
        moment = self.now_ns() if slot is None else slot.start_ns
        result_of(self.journal.append(Entry(moment, "ann", text.encode() + b"\n", 1, None, "r")))

    def texts(self) -> list[str]:
        return [
            line for _, file in self.members for line in gzip.decompress(Path(file.path).read_bytes()).decode().split()
        ]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_every_interval_makes_one_member_in_order(bench: Bench) -> None:
    bench.service.startService()
    for text in ("a", "b", "c"):
        bench.put(text)
        bench.clock.pump([60.0] * 10)
    assert [file.ordinal for _, file in bench.members] == [1, 2, 3]
    assert bench.texts() == ["a", "b", "c"]
    assert not bench.service.unsealed(HOUR)
    on_disk = sum(path.stat().st_size for path in Path(bench.root).rglob("*") if path.is_file())
    assert bench.space.used == on_disk
    result_of(bench.service.stopService())


def test_a_new_interval_counts_at_once(bench: Bench) -> None:
    bench.service.startService()
    bench.put("a")
    bench.service.interval_s = 5.0
    bench.clock.advance(5)
    assert bench.texts() == ["a"]


def test_an_hour_that_is_over_is_sealed_at_its_turn_whatever_the_interval(tmp_path: Path) -> None:
    bench = Bench(tmp_path, interval=86_400.0)
    bench.service.startService()
    bench.clock.pump([60.0] * 57)
    bench.clock.advance(119.9)
    bench.put("a")
    assert Slot.at(bench.now_ns()) == HOUR and bench.service.unsealed(HOUR)
    bench.clock.advance(0.11)
    assert bench.texts() == ["a"] and not bench.service.unsealed(HOUR)


def test_one_that_comes_late_for_its_hour_is_sealed_a_moment_later(tmp_path: Path) -> None:
    bench = Bench(tmp_path, interval=86_400.0)
    bench.began = HOUR.end_ns - 10**9
    bench.service.startService()
    bench.put("a")
    bench.clock.advance(1.1)
    bench.put("late", HOUR)
    bench.clock.advance(1.0)
    assert bench.texts() == ["a", "late"]


def test_one_that_is_on_its_way_to_disk_at_the_turn_is_sealed_when_it_is_there(tmp_path: Path) -> None:
    bench = Bench(tmp_path, interval=86_400.0)
    bench.began = HOUR.end_ns - 10**9
    bench.service.startService()
    bench.flushing.at_once = False
    bench.journal.append(Entry(bench.now_ns(), "ann", b"a\n", 1, None, "r"))
    bench.clock.advance(1.1)
    while bench.flushing.jobs:
        bench.flushing.run()
    assert bench.texts() == ["a"]


def test_the_turn_is_seen_though_the_wall_clock_was_set(tmp_path: Path) -> None:
    bench = Bench(tmp_path, interval=86_400.0)
    bench.service.startService()
    bench.put("a")
    bench.began += HOUR_NS
    bench.clock.advance(61)
    assert bench.texts() == ["a"]


def test_data_are_unsealed_from_the_append_until_the_member_is_handed_on(bench: Bench) -> None:
    bench.service.startService()
    bench.flushing.at_once = bench.offload.at_once = False
    bench.journal.append(Entry(START, "ann", b"a\n", 1, None, "r"))
    assert bench.service.unsealed(HOUR)
    bench.flushing.run()
    assert bench.service.unsealed(HOUR)
    done = bench.service.seal_now()
    work, rotated = bench.flushing.jobs.pop(0)
    outcome = work()
    assert bench.service.unsealed(HOUR), "the segment is closed in the thread, and nobody was told yet"
    rotated.callback(outcome)
    assert bench.service.unsealed(HOUR)
    bench.offload.run()
    assert not bench.service.unsealed(HOUR)
    assert result_of(done) == 0


def test_the_old_hour_stays_unsealed_while_an_entry_of_the_next_closes_it(bench: Bench) -> None:
    bench.service.startService()
    bench.put("a")
    bench.flushing.at_once = False
    bench.journal.append(Entry(HOUR.end_ns, "ann", b"b\n", 1, None, "r"))
    work, done = bench.flushing.jobs.pop(0)
    outcome = work()
    assert bench.service.unsealed(HOUR)
    done.callback(outcome)
    assert not bench.service.unsealed(HOUR) and bench.texts() == ["a"]


def leave_behind(bench: Bench, *texts: str, slot: Slot = HOUR) -> None:
    """Segments as a killed process leaves them."""
    for text in texts:
        bench.put(text, slot)
        journal, bench.service.closed = bench.journal, lambda segment: None  # type: ignore[method-assign]
        journal._closed = lambda segment: None
        result_of(journal.rotate())
        del bench.service.closed
        bench.journal = bench.service.journal = bench.new_journal()


def found(bench: Bench) -> list[Segment]:
    return [each for hour in waiting_hours(bench.fs, bench.root, Stream.USAGE) for each in hour.segments]


def test_recovered_segments_go_before_new_ones_of_their_hour(bench: Bench) -> None:
    leave_behind(bench, "a", "b")
    bench.service.recovered(found(bench)[::-1])
    assert bench.members == [] and bench.service.waiting == 2
    bench.offload.at_once = False
    bench.service.startService()
    bench.put("c")
    done = bench.service.seal_now()
    for _ in range(3):
        bench.offload.run()
    assert bench.texts() == ["a", "b", "c"]
    assert result_of(done) == 0


def test_hours_take_turns(bench: Bench) -> None:
    leave_behind(bench, "a", "b", "c", slot=Slot(HOUR.number - 1))
    leave_behind(bench, "d")
    bench.service.recovered(found(bench))
    bench.service.startService()
    assert bench.texts() == ["a", "d", "b", "c"]


def test_one_that_fails_is_tried_again_with_growing_pauses_and_holds_up_only_its_own_hour(bench: Bench) -> None:
    old = Slot(HOUR.number - 1)
    leave_behind(bench, "a", "b", slot=old)
    leave_behind(bench, "c")

    def trouble(segment: Segment) -> None:
        if segment.slot == old and segment.ordinal == 1 and bench.clock.seconds() < 100:
            raise OSError(28, "No space left on device")

    bench.trouble = trouble
    bench.service.recovered(found(bench))
    bench.service.startService()
    assert bench.texts() == ["c"]
    assert bench.service.failing and bench.service.unsealed(old)
    bench.clock.pump([0.5] * 400)
    assert bench.texts() == ["c", "a", "b"]
    failed = [moment for moment, number, ordinal in bench.attempts if (number, ordinal) == (old.number, 1)]
    pauses = [after - before for before, after in itertools.pairwise(failed)]
    assert len(failed) <= 9 and pauses == sorted(pauses)
    assert not bench.service.failing and bench.service.failures == len(failed) - 1


@pytest.mark.parametrize("error", [OSError(5, "I/O error"), MemoryError(), ValueError("unforeseen")])
def test_no_kind_of_error_ends_it(bench: Bench, error: Exception) -> None:
    def trouble(segment: Segment) -> None:
        raise error

    bench.trouble = trouble
    bench.service.startService()
    bench.put("a")
    bench.clock.advance(600)
    assert bench.service.failures == 1
    bench.trouble = lambda segment: None
    bench.clock.advance(1)
    assert bench.texts() == ["a"]


def test_an_error_of_whoever_is_told_ends_nothing(bench: Bench) -> None:
    bench.service._on_sealed = lambda slot, file: 1 / 0  # type: ignore[assignment,return-value]
    bench.service.startService()
    bench.put("a")
    bench.clock.advance(600)
    bench.service._on_sealed = bench.on_sealed
    bench.put("b")
    bench.clock.advance(600)
    assert bench.texts() == ["b"] and bench.service.failures == 1


def test_one_that_somebody_removed_is_reported_and_blocks_nothing(bench: Bench) -> None:
    leave_behind(bench, "a", "b")
    segments = found(bench)
    Path(segments[0].path).unlink()
    bench.service.recovered(segments)
    bench.service.startService()
    assert bench.texts() == ["b"]
    assert bench.service.vanished == 1 and not bench.service.unsealed(HOUR)


def test_one_that_cannot_be_read_goes_to_quarantine_and_the_next_is_sealed(bench: Bench) -> None:
    leave_behind(bench, "a", "b")
    segments = found(bench)
    Path(segments[0].path).write_bytes(b"garbage!" * 20)
    bench.service.recovered(segments)
    bench.service.startService()
    assert bench.texts() == ["b"]
    assert bench.quarantine.taken == 1 and bench.service.damaged == 1
    assert not bench.service.unsealed(HOUR)


def test_a_stop_seals_everything_also_what_failed_a_moment_ago(bench: Bench) -> None:
    def trouble(segment: Segment) -> None:
        raise OSError(28, "No space left on device")

    bench.trouble = trouble
    leave_behind(bench, "a")
    bench.service.recovered(found(bench))
    bench.service.startService()
    bench.put("b")
    bench.trouble = lambda segment: None
    result_of(bench.service.stopService())
    assert bench.texts() == ["a", "b"]
    assert bench.clock.getDelayedCalls() == []


def test_a_stop_does_not_wait_for_what_fails_again(bench: Bench) -> None:
    def trouble(segment: Segment) -> None:
        raise OSError(28, "No space left on device")

    bench.trouble = trouble
    bench.service.startService()
    bench.put("a")
    result_of(bench.service.stopService())
    assert len(bench.attempts) <= 2 and bench.service.waiting == 1
    assert bench.clock.getDelayedCalls() == []


def test_a_stop_that_is_cut_short_waits_for_the_one_under_way_alone(bench: Bench) -> None:
    leave_behind(bench, "a", "b")
    bench.service.recovered(found(bench))
    bench.offload.at_once = False
    bench.service.startService()
    stopped = bench.service.stopService()
    outcome: list[object] = []
    stopped.addBoth(outcome.append)
    stopped.cancel()
    assert outcome == []
    bench.offload.run()
    assert outcome == [None] and bench.offload.jobs == []
    assert bench.texts() == ["a"] and bench.service.waiting == 1
    assert bench.clock.getDelayedCalls() == []


def test_whoever_no_longer_waits_for_seal_now_disturbs_nothing(bench: Bench) -> None:
    bench.offload.at_once = False
    bench.service.startService()
    bench.put("a")
    done = bench.service.seal_now()
    done.cancel()
    with pytest.raises(CancelledError):
        result_of(done)
    bench.offload.run()
    assert bench.texts() == ["a"]


def test_a_thousand_recovered_segments_are_sealed_without_deep_recursion(bench: Bench) -> None:
    leave_behind(bench, "a")
    (one,) = found(bench)
    empty = Sealed(None, 0, 0, 0, 0, 0)
    bench.service._seal = lambda segment, salvage: empty
    bench.service.recovered([Segment(one.stream, one.slot, n, f"{n:032x}", one.path) for n in range(2000)])
    bench.service.startService()
    assert bench.service.waiting == 0
