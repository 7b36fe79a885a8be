"""Which prefixes cover a span of time: every hour asked for lies in exactly one of them, and little else is listed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lf6gateway.values.slot import HOUR_NS, Slot
from lf6gateway.values.when import format_when, parse_hour, parse_when
from lf6gateway.values.window import Window, hour_prefixes, year_bounds

NOW = Slot.parse("2026112513").start_ns + 40 * 60_000_000_000
HOURS = st.integers(Slot.parse("1999010100").number, Slot.parse("2031123123").number)


@given(HOURS, st.one_of(st.integers(0, 100), st.integers(0, 50_000)))
def test_each_hour_lies_in_one_prefix_and_no_other_day_is_listed(first: int, more: int) -> None:
    prefixes = list(hour_prefixes(Slot(first), Slot(first + more)))
    assert prefixes == sorted(prefixes)
    days = {Slot(number).path[:11] for number in (first, first + more)}
    places = []
    for number in {
        first - 25,
        first - 1,
        *range(first, first + more + 1, max(1, more // 500)),
        first + more,
        first + more + 1,
    }:
        path = Slot(number).path + "/"
        within = [one for one in prefixes if path.startswith(one)]
        if first <= number <= first + more:
            assert len(within) == 1
            places.append((number, prefixes.index(within[0])))
        else:
            assert not within or path[:11] in days
    assert [place for _, place in sorted(places)] == sorted(place for _, place in places)


@given(HOURS, st.integers(0, 50_000))
def test_there_are_few_prefixes(first: int, more: int) -> None:
    prefixes = list(hour_prefixes(Slot(first), Slot(first + more)))
    assert len(prefixes) <= 2 * 12 + 2 * 30 + 2 * 11 + more // 8760 + 1


@pytest.mark.parametrize(
    ("first", "last", "prefixes"),
    [
        ("2026110105", "2026110105", ["2026/11/01/05/"]),
        ("2026110122", "2026110201", ["2026/11/01/22/", "2026/11/01/23/", "2026/11/02/00/", "2026/11/02/01/"]),
        ("2026110100", "2026110123", ["2026/11/01/"]),
        ("2026110103", "2026110223", ["2026/11/01/", "2026/11/02/"]),
        ("2026110100", "2026113023", ["2026/11/"]),
        ("2024020100", "2024022923", ["2024/02/"]),
        ("2025123123", "2027010100", ["2025/12/31/23/", "2026/", "2027/01/01/00/"]),
    ],
)
def test_prefixes_are_as_long_as_can_be(first: str, last: str, prefixes: list[str]) -> None:
    assert list(hour_prefixes(Slot.parse(first), Slot.parse(last))) == prefixes


@given(st.integers(0, 1 << 61), st.integers(1, 1 << 55), st.integers(-(1 << 50), 1 << 56))
def test_a_window_holds_touches_and_covers(since: int, length: int, offset: int) -> None:
    window = Window(since, since + length)
    moment = max(0, since + offset)
    slot = Slot.at(moment)
    assert window.holds(moment) == (since <= moment < since + length)
    if window.holds(moment):
        assert window.touches(slot)
        assert window.first is not None and window.last is not None and window.first <= slot <= window.last
    if window.covers(slot):
        assert window.holds(slot.start_ns) and window.holds(slot.end_ns - 1)
    assert Window().holds(moment) and Window().touches(slot) and Window().covers(slot)


def test_a_window_has_an_end_after_its_beginning() -> None:
    for since, until in ((5, 5), (6, 5)):
        with pytest.raises(ValueError, match="turn --since and --until round"):
            Window(since, until)


def test_years_bound_what_is_looked_for() -> None:
    bounds = year_bounds(["2025", "2026", "alice", "99999", "20x6", "٢٠٢٦"])
    assert bounds == (Slot.parse("2025010100"), Slot.parse("2026123123"))
    assert year_bounds(["alice"]) is None


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("now", "2026-11-25T13:40:00Z"),
        ("2h", "2026-11-25T11:40:00Z"),
        ("90m", "2026-11-25T12:10:00Z"),
        ("7d", "2026-11-18T13:40:00Z"),
        ("today", "2026-11-25T00:00:00Z"),
        ("yesterday", "2026-11-24T00:00:00Z"),
        ("2026-11-01", "2026-11-01T00:00:00Z"),
        ("2026-11-01T05", "2026-11-01T05:00:00Z"),
        ("2026-11-01 05", "2026-11-01T05:00:00Z"),
        ("2026-11-01T05:30", "2026-11-01T05:30:00Z"),
        ("2026-11-01T05:30:15Z", "2026-11-01T05:30:15Z"),
        ("2026-11-01T05:30:15+02:00", "2026-11-01T03:30:15Z"),
    ],
)
def test_moments(text: str, moment: str) -> None:
    assert format_when(parse_when(text, NOW)) == moment


@pytest.mark.parametrize(
    "text", ["", "2", "-2h", "2x", "tomorrow", "2026-13-01", "2026-11-01T25", "1960-01-01", "\x1b[2J"]
)
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match="write it like 2h") as told:
        parse_when(text, NOW)
    assert "\x1b" not in str(told.value)


def test_hours() -> None:
    assert parse_hour("2026110105") == parse_hour("2026-11-01T05") == Slot.parse("2026110105")
    for text in ("2026-11-01", "20261101", "2026110125", "x"):
        with pytest.raises(ValueError, match="is no hour"):
            parse_hour(text)
    assert HOUR_NS * parse_hour("2026110105").number == parse_when("2026-11-01T05", NOW)
