"""Charts: values are where they belong, gaps stay gaps, and scales end at round figures."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lf6gateway.values.chart import binary_top, chart, round_top, span_top, thinned


def drawn(*values: tuple[float, float | None], step: float = 60) -> str:
    return chart([values], begin=0, end=600, step=step, top=round_top).lines[0].path


def test_values_are_where_they_belong() -> None:
    assert drawn((0, 0), (60, 5), (120, 10)) == "M0 100L100 50L200 0"
    made = chart([[(0, 0), (600, 10)], [(0, None)]], begin=0, end=600, step=600, top=round_top)
    assert made.top == 10 and not made.empty
    assert made.lines[0].area == "M0 100L1000 0L1000 100L0 100Z"
    assert (made.lines[0].last, made.lines[0].most) == (10, 10)
    assert (made.lines[1].path, made.lines[1].most) == ("", None)


def test_gaps_stay_gaps() -> None:
    assert drawn((0, 1), (60, 1), (300, 1), (360, 1)).count("M") == 2
    assert drawn((0, 1), (60, None), (120, 1)).count("M") == 1, "one minute without a request is no gap"


def test_a_value_alone_can_be_seen_and_one_outside_is_left_out() -> None:
    assert drawn((300, 2)) == "M450 0L550 0"
    assert drawn((-60, 5), (660, 5)) == ""
    assert chart([[]], begin=0, end=600, step=60, top=round_top).empty


@given(st.lists(st.tuples(st.floats(0, 600), st.floats(0, 1e12)), max_size=30))
def test_nothing_is_drawn_outside(values: list[tuple[float, float]]) -> None:
    for top in (round_top, binary_top):
        made = chart([sorted(values)], begin=0, end=600, step=60, top=top).lines[0]
        places = [float(one) for one in re.findall(r"-?[0-9.]+", made.path)]
        assert all(-0.01 <= x <= 1000.01 for x in places[::2])
        assert all(-0.01 <= y <= 100.01 for y in places[1::2])


@given(st.floats(0, 1e15))
def test_scales_hold_what_is_on_them(largest: float) -> None:
    for top in (round_top, binary_top, span_top):
        assert top(largest) >= largest * 0.999_99
        assert top(largest) <= max(largest * 2.51, 1024)


@pytest.mark.parametrize(("largest", "top"), [(0, 2), (3, 3), (52, 60), (59, 60), (530, 600), (1001, 1200), (95, 100)])
def test_scales_end_at_round_figures(largest: float, top: float) -> None:
    assert round_top(largest) == pytest.approx(top)


def test_thinning_takes_whole_steps() -> None:
    values = [(60.0 * place, float(place)) for place in range(1, 11)]
    assert thinned(values, 300, max) == [(300, 5), (600, 10)]
    assert thinned(values, 300, sum) == [(300, 15), (600, 40)]
    assert thinned([(60, None), (360, 2)], 300, max) == [(300, None), (600, 2)]
    assert thinned([], 300, max) == []
