"""The spool's space: what is refused, why, and when to ask again."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from lf6gateway.disk.filesystem import OsFileSystem, Room
from lf6gateway.disk.folders import file_name, hour_folder, waiting_hours
from lf6gateway.disk.space import BLOCK, WINDOW_S, Refusal, Space
from lf6gateway.values.slot import Slot
from lf6gateway.values.stream import Stream

MAX = 1_000_000


class Desk:
    """A space and the clock it reads."""

    def __init__(self, max_bytes: int = MAX, min_free_bytes: int = 1000, min_free_inodes: int = 10) -> None:
        self.now = 0.0
        self.space = Space(max_bytes, min_free_bytes, min_free_inodes, monotonic=lambda: self.now)

    def refused(self, incoming: int) -> Refusal:
        refusal = self.space.refusal(incoming)
        assert refusal is not None
        return refusal


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_an_empty_spool_takes_data_before_the_disk_was_looked_at(desk: Desk) -> None:
    assert desk.space.refusal(MAX) is None
    assert desk.space.room is None
    assert not desk.space.failing


def test_a_spool_is_full_at_its_last_byte(desk: Desk) -> None:
    desk.space.add(MAX - 100)
    assert desk.space.refusal(100) is None
    refusal = desk.refused(101)
    assert refusal.reason == "spool_full"
    assert "999900 of at most 1000000" in refusal.detail
    desk.space.remove(1)
    assert desk.space.refusal(101) is None


def test_more_is_removed_than_was_counted_and_nothing_goes_below_zero(desk: Desk) -> None:
    desk.space.add(10)
    desk.space.remove(20)
    assert desk.space.used == 0
    desk.space.add(5)
    assert desk.space.used == 5


def test_a_lowered_limit_counts_at_once(desk: Desk) -> None:
    desk.space.add(500)
    desk.space.max_bytes = 499
    assert desk.refused(0).reason == "spool_full"


def test_the_disk_keeps_so_many_bytes_free(desk: Desk) -> None:
    desk.space.note_room(Room(1500, None))
    assert desk.space.refusal(500) is None
    refusal = desk.refused(501)
    assert refusal.reason == "disk_floor"
    assert "1500 bytes left, and 1000 are kept free" in refusal.detail


def test_what_was_written_since_the_last_look_counts_against_the_floor(desk: Desk) -> None:
    desk.space.note_room(Room(1500, None))
    desk.space.add(300)
    assert desk.space.refusal(200) is None
    assert desk.refused(201).reason == "disk_floor"
    desk.space.remove(300)
    assert desk.space.refusal(500) is None
    desk.space.add(300)
    desk.space.note_room(Room(1500, None))
    assert desk.space.refusal(500) is None


def test_what_was_removed_since_the_last_look_is_not_promised(desk: Desk) -> None:
    desk.space.add(5000)
    desk.space.note_room(Room(1500, None))
    desk.space.remove(5000)
    assert desk.refused(501).reason == "disk_floor"


def test_the_disk_keeps_so_many_inodes_free(desk: Desk) -> None:
    desk.space.note_room(Room(1 << 40, 10))
    assert desk.space.refusal(1) is None
    desk.space.note_room(Room(1 << 40, 9))
    refusal = desk.refused(0)
    assert refusal.reason == "disk_floor"
    assert "9 inodes left, and 10 are kept free" in refusal.detail


def test_a_file_system_that_counts_no_inodes_is_not_short_of_them(desk: Desk) -> None:
    desk.space.note_room(Room(1 << 40, None))
    assert desk.space.refusal(1) is None


def test_a_failure_refuses_until_a_write_succeeds(desk: Desk) -> None:
    desk.space.note_failure("Input/output error")
    desk.space.note_failure("No space left on device")
    assert desk.space.failing
    refusal = desk.refused(0)
    assert (refusal.reason, refusal.retry_after) == ("disk_failing", 5)
    assert "No space left on device" in refusal.detail
    desk.space.note_success()
    assert desk.space.refusal(0) is None
    assert not desk.space.failing


def test_a_failing_disk_is_told_before_a_full_one(desk: Desk) -> None:
    desk.space.add(MAX + 1)
    desk.space.note_room(Room(0, 0))
    desk.space.note_failure("x")
    assert desk.refused(0).reason == "disk_failing"
    desk.space.note_success()
    assert desk.refused(0).reason == "spool_full"
    desk.space.remove(MAX + 1)
    assert desk.refused(0).reason == "disk_floor"


def test_where_nothing_drains_half_a_minute_is_asked_for(desk: Desk) -> None:
    desk.space.add(MAX)
    assert desk.refused(1).retry_after == 30


def drain(desk: Desk, each: int, times: int, pause: float) -> None:
    for _ in range(times):
        desk.space.remove(each)
        desk.now += pause


@pytest.mark.parametrize("rate", [10, 100, 1000, 5000])
def test_the_wait_follows_the_rate_of_draining(rate: int) -> None:
    desk = Desk()
    desk.space.add(MAX * 2)
    drain(desk, rate, 60, 1.0)
    over = 2000
    desk.space.max_bytes = desk.space.used
    waited = desk.refused(over).retry_after
    assert over / rate <= waited <= over / rate + 1


def test_a_faster_drain_is_waited_for_less_long(desk: Desk) -> None:
    desk.space.add(MAX * 2)
    drain(desk, 10, 60, 1.0)
    desk.space.max_bytes = desk.space.used
    slow = desk.refused(1000).retry_after
    drain(desk, 1000, 60, 1.0)
    desk.space.max_bytes = desk.space.used
    assert desk.refused(1000).retry_after < slow


def test_the_wait_has_bounds(desk: Desk) -> None:
    desk.space.add(MAX)
    desk.space.remove(1)
    desk.now += 100
    assert desk.refused(MAX).retry_after == 300
    desk.space.remove(MAX // 2)
    desk.space.add(MAX // 2 + 1)
    assert desk.refused(1).retry_after == 1


def test_an_old_drain_is_forgotten(desk: Desk) -> None:
    desk.space.add(MAX + 1000)
    desk.space.remove(1000)
    desk.now = WINDOW_S
    assert desk.refused(1).retry_after != 30
    desk.now = WINDOW_S + 0.001
    assert desk.refused(1).retry_after == 30


def test_what_was_given_up_is_no_drain(desk: Desk) -> None:
    desk.space.add(MAX + 1000)
    desk.space.remove(1000, drained=False)
    assert desk.space.used == MAX
    assert desk.refused(1).retry_after == 30


def test_the_wait_for_the_floor_follows_the_drain_too(desk: Desk) -> None:
    desk.space.add(10_000)
    drain(desk, 100, 60, 1.0)
    desk.space.note_room(Room(1000, None))
    waited = desk.refused(500).retry_after
    assert 5 <= waited <= 6


def test_threads_that_add_and_remove_sum_up() -> None:
    desk = Desk(max_bytes=1 << 40)
    desk.space.add(1_000_000)
    begin = threading.Barrier(8)

    def work(number: int) -> None:
        begin.wait()
        for round_ in range(2000):
            desk.space.add(number + 3)
            desk.space.remove(number, drained=round_ % 2 == 0)
            if round_ % 100 == 0:
                desk.space.note_room(Room(1 << 40, 1000))
                desk.space.refusal(1 << 41)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert desk.space.used == 1_000_000 + 8 * 2000 * 3


def test_what_is_remembered_of_removals_does_not_grow_with_their_number(desk: Desk) -> None:
    desk.space.add(MAX)
    for _ in range(10_000):
        desk.now += WINDOW_S / 10_000
        desk.space.remove(10)
    assert len(desk.space._removed) <= WINDOW_S + 1
    desk.space.add(100_000)
    # 100,000 bytes in 120 s: 50,000 bytes take about a minute.
    assert 55 <= desk.refused(50_000).retry_after <= 65


def test_files_made_since_the_inodes_were_looked_up_are_reckoned_with() -> None:
    space = Space(1 << 40, 0, 100, monotonic=lambda: 0.0)
    space.note_room(Room(1 << 40, 102))
    space.add_file()
    space.add_file()
    assert space.refusal(1) is None
    space.add_file()
    refusal = space.refusal(1)
    assert refusal is not None and refusal.reason == "disk_floor" and "99 inodes" in refusal.detail
    space.note_room(Room(1 << 40, 100))
    assert space.refusal(1) is None


def test_a_file_takes_a_block_whatever_is_in_it() -> None:
    space = Space(1 << 40, 1000, 0, monotonic=lambda: 0.0)
    space.note_room(Room(1000 + BLOCK, None))
    assert space.refusal(1) is None
    space.add_file()
    refusal = space.refusal(1)
    assert refusal is not None and refusal.reason == "disk_floor"


def test_a_start_counts_what_waits_to_be_shipped_and_not_the_keys_beside_it(tmp_path: Path) -> None:
    """Found by the campaign: after a restart the spool was never empty again."""
    fs = OsFileSystem()
    folder = Path(hour_folder(str(tmp_path), Stream.USAGE, Slot(400_000)))
    folder.mkdir(parents=True)
    for ordinal, (ending, size) in enumerate([("seg", 100), ("gz", 20), ("keys", 3)], 1):
        (folder / file_name(ordinal, f"{ordinal:032x}", ending)).write_bytes(bytes(size))
    [found] = waiting_hours(fs, str(tmp_path), Stream.USAGE)
    assert found.bytes == 120
