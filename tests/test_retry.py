"""The pauses between attempts."""

from __future__ import annotations

import random

import pytest

from lf6gateway.values.failure import Kind
from lf6gateway.values.retry import SLOW_START, RetryPolicy, full_jitter, pause, slow_jitter

POLICY = RetryPolicy(base=0.5, cap=300.0)


def most() -> float:
    return 0.999999


def least() -> float:
    return 0.0


def test_the_ceiling_doubles_from_the_base_up_to_the_cap() -> None:
    ceilings = [full_jitter(failures, POLICY, most) for failures in range(1, 13)]
    expected = [min(300.0, 0.5 * 2**n) for n in range(12)]
    assert ceilings == pytest.approx(expected, rel=1e-4)


def test_the_whole_range_down_to_nearly_nothing_is_drawn_but_it_never_spins() -> None:
    assert full_jitter(9, POLICY, least) == pytest.approx(0.05)
    draw = random.Random(1).random
    pauses = [full_jitter(6, POLICY, draw) for _ in range(2000)]
    assert min(pauses) < 1 and max(pauses) > 15
    assert sum(pauses) / len(pauses) == pytest.approx(8, rel=0.1)


def test_a_million_failures_do_not_overflow() -> None:
    assert full_jitter(1_000_000, POLICY, most) <= 300
    assert slow_jitter(1_000_000, POLICY, most) <= 300


def test_what_an_operator_mends_is_tried_slowly() -> None:
    assert pause(Kind.DENIED, 1, POLICY, least) == SLOW_START
    assert pause(Kind.DENIED, 1, POLICY, most) == pytest.approx(60, rel=1e-3)
    assert pause(Kind.REFUSED, 9, POLICY, most) == pytest.approx(300, rel=1e-3)


def test_a_cap_below_the_slow_start_wins() -> None:
    assert pause(Kind.DENIED, 1, RetryPolicy(0.1, 2.0), most) == pytest.approx(2.0)


def test_what_the_store_asks_for_is_granted_up_to_an_hour() -> None:
    assert pause(Kind.SLOW_DOWN, 1, POLICY, least, 17.0) == 17.0
    assert 17.0 < pause(Kind.SLOW_DOWN, 1, POLICY, most, 17.0) <= 17.5
    assert pause(Kind.SLOW_DOWN, 1, POLICY, least, 1e9) == 3600.0
    assert pause(Kind.SLOW_DOWN, 1, POLICY, most, -4.0) == pytest.approx(0.5, rel=1e-4)


@pytest.mark.parametrize(("base", "cap"), [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0)])
def test_bounds_that_make_no_sense_are_refused(base: float, cap: float) -> None:
    with pytest.raises(ValueError, match="pause"):
        RetryPolicy(base, cap)
