"""What several processes have seen becomes one, and nothing is counted twice."""

from __future__ import annotations

from collections import Counter

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from lf6gateway.values.histogram import SECONDS, Histogram, quantile
from lf6gateway.values.traffic import Traffic, TrafficMore

REQUESTS = st.lists(
    st.tuples(
        st.sampled_from(["usage", "error", "other"]),
        st.sampled_from([204, 400, 503]),
        st.floats(0, 60),
        st.integers(0, 9),
    )
)


def seen(traffic: Traffic) -> dict[tuple[str, int], tuple[int, list[int], int]]:
    return {key: (one.bytes, one.seconds.counts, one.seconds.count) for key, one in traffic.answers.items()}


@given(REQUESTS, st.integers(1, 3), st.integers(1, 5))
def test_parts_told_at_any_time_add_up_to_the_whole(
    requests: list[tuple[str, int, float, int]], processes: int, tell_every: int
) -> None:
    clock = [0.0]
    whole, gateway = Traffic(lambda: clock[0]), Traffic(lambda: clock[0])
    workers = [Traffic(lambda: clock[0]) for _ in range(processes)]

    def tell() -> None:
        for worker in workers:
            wire = msgspec.msgpack.encode(worker.take())
            gateway.add(msgspec.msgpack.decode(wire, type=TrafficMore))

    for number, (stream, status, seconds, size) in enumerate(requests):
        clock[0] = seconds
        for traffic in (whole, workers[number % processes]):
            traffic.answered(stream, status, 0.0, size)
            traffic.aborted[stream] += 1
            traffic.problems["p"] += size
            traffic.refused["r"] += 1
            traffic.accepted += 1
        if number % tell_every == 0:
            tell()
    tell()
    tell()
    assert seen(gateway) == seen(whole)
    assert (gateway.aborted, +gateway.problems, gateway.refused) == (whole.aborted, +whole.problems, whole.refused)
    assert gateway.accepted == whole.accepted == len(requests)
    assert workers[0].take() == TrafficMore([], {}, {}, {}, 0)


@given(st.lists(st.floats(0, 100)))
def test_a_histogram_counts_what_is_not_above_each_bound(values: list[float]) -> None:
    made = Histogram(SECONDS)
    for value in values:
        made.observe(value)
    assert made.cumulative() == [(bound, sum(value <= bound for value in values)) for bound in (*SECONDS, float("inf"))]
    assert made.count == len(values)


@given(st.lists(st.floats(0, 30), min_size=1), st.floats(0.01, 1))
def test_a_quantile_lies_between_the_bounds_that_it_must(values: list[float], part: float) -> None:
    made = Histogram(SECONDS)
    for value in values:
        made.observe(value)
    found = made.quantile(part)
    assert found is not None
    exact = sorted(values)[max(0, -int(-part * len(values) // 1) - 1)]
    low = max((bound for bound in (0.0, *SECONDS) if bound < exact), default=0.0)
    high = min(bound for bound in SECONDS if bound >= exact)
    assert low <= found <= high or abs(found - exact) < 1e-9


def test_a_quantile_of_nothing_is_none_and_one_beyond_the_bounds_is_the_last() -> None:
    assert quantile(SECONDS, [0] * 15, 0.5) is None
    made = Histogram(SECONDS)
    made.observe(1e6)
    assert made.quantile(0.5) == SECONDS[-1]
    assert Counter() == Traffic(lambda: 0.0).aborted
