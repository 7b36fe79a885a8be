"""Room held back on the disk: given up when the disk is full, and taken back when there is plenty again."""

from __future__ import annotations

import os
from pathlib import Path

from lf6gateway.disk.filesystem import Room
from lf6gateway.disk.reserve import MOST, NAME, FileReserve, size_for
from lf6gateway.values.size import GIB, KIB, MIB

FLOOR = 400 * KIB
SIZE = 100 * KIB


def blocks(folder: Path) -> int:
    return os.stat(folder / NAME).st_blocks * 512


def test_a_quarter_of_the_floor_is_held_but_no_more_than_a_segment_needs() -> None:
    assert size_for(FLOOR) == SIZE
    assert size_for(256 * MIB) == MOST == size_for(100 * GIB)


def test_it_is_real_room_and_held_only_where_the_floor_is_kept_besides(tmp_path: Path) -> None:
    reserve = FileReserve(str(tmp_path))
    assert not reserve.tend(Room(FLOOR + SIZE - 1, None), FLOOR)
    assert reserve.held == 0
    assert reserve.tend(Room(FLOOR + SIZE, None), FLOOR)
    assert reserve.held == SIZE and blocks(tmp_path) >= SIZE
    assert not reserve.tend(Room(FLOOR, None), FLOOR)


def test_it_is_given_up_when_less_is_left_than_it_holds_and_taken_back_with_data(tmp_path: Path) -> None:
    reserve = FileReserve(str(tmp_path))
    reserve.tend(Room(GIB, None), FLOOR)
    assert not reserve.tend(Room(SIZE, None), FLOOR)
    assert reserve.tend(Room(SIZE - 1, None), FLOOR)
    assert list(tmp_path.iterdir()) == []
    assert not reserve.tend(Room(FLOOR, None), FLOOR)
    assert reserve.tend(Room(FLOOR + SIZE, None), FLOOR)


def test_another_floor_makes_it_another_size(tmp_path: Path) -> None:
    reserve = FileReserve(str(tmp_path))
    reserve.tend(Room(GIB, None), FLOOR)
    assert reserve.tend(Room(GIB, None), 2 * FLOOR)
    assert reserve.held == 2 * SIZE
    assert not FileReserve(str(tmp_path)).tend(Room(GIB, None), 2 * FLOOR)
    assert reserve.tend(Room(GIB, None), 0)
    assert reserve.held == 0
