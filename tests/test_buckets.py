"""Token buckets: how much comes through in the long run and at once, and that no flood of names grows them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lf6gateway.values.buckets import Buckets
from lf6gateway.values.rate import parse_rate


def buckets(text: str = "10/1s", most: int = 100) -> Buckets:
    return Buckets(parse_rate(text, of_bytes=False), most)


def test_as_much_as_a_bucket_holds_may_come_at_once_and_then_at_its_rate() -> None:
    one = buckets()
    for _ in range(10):
        assert one.wait("a", 1, 5.0) == 0
        one.take("a", 1, 5.0)
    assert one.wait("a", 1, 5.0) == pytest.approx(0.1)
    assert one.wait("b", 1, 5.0) == 0
    assert one.wait("a", 1, 5.1) == 0
    assert one.wait("a", 5, 5.1) == pytest.approx(0.4)
    assert one.level("a", 1000.0) == 10


def test_more_than_a_bucket_holds_goes_through_a_full_one_and_is_a_debt() -> None:
    one = buckets()
    assert one.wait("a", 50, 0.0) == 0
    one.take("a", 50, 0.0)
    assert one.wait("a", 1, 0.0) == pytest.approx(4.1)
    one.take("a", -45, 0.0)  # most of it did not come
    assert one.wait("a", 5, 0.0) == 0


def test_a_clock_that_goes_back_gives_nothing_and_takes_nothing() -> None:
    one = buckets()
    one.take("a", 10, 100.0)
    assert one.level("a", 50.0) == 0
    one.take("a", 1, 50.0)
    assert one.level("a", 50.2) == pytest.approx(1)


def test_names_seen_longest_ago_are_forgotten_first() -> None:
    one = buckets(most=3)
    for name in ("a", "b", "c", "a", "d"):
        one.take(name, 5, 0.0)
    assert len(one) == 3
    assert one.level("b", 0.0) == 10
    assert one.level("a", 0.0) == 0


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 20)), max_size=50))
def test_never_does_more_come_through_than_the_rate_and_one_bucket(steps: list[tuple[float, int]]) -> None:
    one, now, through = buckets(), 0.0, 0
    for pause, amount in steps:
        now += pause
        if one.wait("a", amount, now) == 0:
            one.take("a", amount, now)
            through += amount
    assert through <= 10 + 10 * now + 10 + 1e-6  # the last one may be twice a bucket
