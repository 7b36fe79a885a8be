"""What was sent today: counted by user and stream, and kept over a restart of the same day."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from lf6gateway.disk.filesystem import OsFileSystem
from lf6gateway.disk.offload import inline
from lf6gateway.services.quotas import QuotaFile
from lf6gateway.values.daily import DAY_S, Daily, as_text
from lf6gateway.values.stream import Stream
from tests.deferreds import result_of

NOON = 20_000 * DAY_S + 43_200.0


def test_counts_are_each_user_s_and_stream_s_and_end_with_the_day() -> None:
    daily = Daily(10)
    daily.take("alice", Stream.USAGE, 5, NOON)
    daily.take("alice", Stream.USAGE, 5, NOON)
    daily.take("alice", Stream.ERROR, 1, NOON)
    assert daily.used("alice", Stream.USAGE, NOON) == 10
    assert daily.used("alice", Stream.ERROR, NOON) == 1
    assert daily.used("bob", Stream.USAGE, NOON) == 0
    daily.take("alice", Stream.ERROR, -3, NOON)
    assert daily.used("alice", Stream.ERROR, NOON) == 0
    assert daily.used("alice", Stream.USAGE, NOON + 43_199) == 10
    assert daily.used("alice", Stream.USAGE, NOON + 43_200) == 0


def test_no_flood_of_names_makes_it_grow() -> None:
    daily = Daily(3)
    for number in range(100):
        daily.take(f"user{number}", Stream.USAGE, 1, NOON)
    assert len(daily) == 3


@pytest.mark.parametrize(
    "text", ["", "[]", '{"day": 1}', '{"day": 20000, "used": [["a", "nonsense", 1]]}', "[" * 10_000]
)
def test_what_was_not_written_by_us_is_not_taken(text: str) -> None:
    with pytest.raises(ValueError, match="is no record"):
        Daily(3).restore(text, NOON)


def keeper(path: Path, daily: Daily, clock: Clock, now_s: float = NOON) -> QuotaFile:
    made = QuotaFile(str(path), daily, fs=OsFileSystem(), offload=inline, clock=clock, now_s=lambda: now_s)
    result_of(Deferred.fromCoroutine(made.start()))
    return made


def test_counts_outlive_a_restart_of_the_same_day(tmp_path: Path) -> None:
    path, clock, daily = tmp_path / "quotas.json", Clock(), Daily(10)
    first = keeper(path, daily, clock)
    daily.take("alice", Stream.USAGE, 5, NOON)
    clock.advance(10)
    crashed = Daily(10)
    keeper(path, crashed, Clock())
    assert crashed.used("alice", Stream.USAGE, NOON) == 5
    daily.take("alice", Stream.USAGE, 2, NOON)
    result_of(Deferred.fromCoroutine(first.stop()))
    again = Daily(10)
    keeper(path, again, Clock())
    assert again.used("alice", Stream.USAGE, NOON) == 7
    tomorrow = Daily(10)
    keeper(path, tomorrow, Clock(), NOON + DAY_S)
    assert tomorrow.used("alice", Stream.USAGE, NOON + DAY_S) == 0
    assert clock.getDelayedCalls() == []


def test_a_file_that_cannot_be_read_or_written_stops_nothing(tmp_path: Path) -> None:
    path, clock, daily = tmp_path / "quotas.json", Clock(), Daily(10)
    path.write_text("nonsense")
    keeper(path, daily, clock)
    path.unlink()
    path.mkdir()
    daily.take("alice", Stream.USAGE, 5, NOON)
    clock.advance(10)
    assert daily.changed
    path.rmdir()
    clock.advance(10)
    assert not daily.changed
    assert path.read_text() == as_text(20_000, {("alice", Stream.USAGE): 5})
