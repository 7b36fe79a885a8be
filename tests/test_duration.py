"""Go durations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lf6gateway.values.duration import Duration, parse_duration

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        # From what Go's own tests of time.ParseDuration hold to be right.
        ("5s", 5 * SECOND),
        ("30s", 30 * SECOND),
        ("1478s", 1478 * SECOND),
        ("+5s", 5 * SECOND),
        ("5.0s", 5 * SECOND),
        ("5.6s", 5_600_000_000),
        ("5.s", 5 * SECOND),
        (".5s", 500_000_000),
        ("1.0s", SECOND),
        ("1.00s", SECOND),
        ("1.004s", 1_004_000_000),
        ("1.0040s", 1_004_000_000),
        ("100.00100s", 100_001_000_000),
        ("10ns", 10),
        ("11us", 11_000),
        ("12\u00b5s", 12_000),
        ("12\u03bcs", 12_000),
        ("13ms", 13_000_000),
        ("14s", 14 * SECOND),
        ("15m", 15 * 60 * SECOND),
        ("16h", 16 * 3600 * SECOND),
        ("3h30m", 12_600 * SECOND),
        ("10.5s4m", 250_500_000_000),
        ("1h2m3s4ms5us6ns", 3_723_004_005_006),
        ("39h9m14.425s", 140_954_425_000_000),
        ("52763797000ns", 52_763_797_000),
        ("0.3333333333333333333h", 20 * 60 * SECOND),
        ("9007199254740993ns", (1 << 53) + 1),
        ("9223372036854775807ns", (1 << 63) - 1),
        ("9223372036854775.807us", (1 << 63) - 1),
        ("9223372036s854ms775us807ns", (1 << 63) - 1),
        ("0.100000000000000000000h", 6 * 60 * SECOND),
        ("0.830103483285477580700h", 49 * 60 * SECOND + 48 * SECOND + 372_539_827),
        ("1h30m", 5400 * SECOND),
        ("1.5h", 5400 * SECOND),
        ("500ms", SECOND // 2),
        ("90s", 90 * SECOND),
    ],
)
def test_reads_what_go_reads(text: str, ns: int) -> None:
    assert parse_duration(text) == Duration(ns)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("10", "10s for seconds, 10m for minutes"),
        ("1.5", "1.5s for seconds"),
        ("0", "longer than nothing"),
        ("0s", "longer than nothing"),
        ("-5s", "longer than nothing"),
        ("-", "is empty"),
        ("+", "is empty"),
        (".s", "no span"),
        ("s", "no span"),
        ("-.", "no span"),
        (".", "no span"),
        ("5.6.7s", "without a unit"),
        ("10m30", "without a unit"),
        ("10 m", "unknown unit"),
        ("1d", "unknown unit"),
        ("10M", "unknown unit"),
        ("1h ", "unknown unit"),
        ("\u0661s", "no span"),
        ("9223372036854775808ns", "too long"),
        ("9223372036854775.808us", "too long"),
        ("3000000h", "too long"),
        ("99999999999999999999999999h", "too long"),
    ],
)
def test_refuses_what_go_refuses_and_what_is_not_positive(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_duration(text)


def test_seconds() -> None:
    assert parse_duration("1.5s").seconds == 1.5


@given(st.integers(1, (1 << 63) - 1))
def test_its_text_is_that_span_again(ns: int) -> None:
    assert parse_duration(str(Duration(ns))) == Duration(ns)


@pytest.mark.parametrize("text", ["10m", "1h30m", "500ms", "1m15s", "2us", "3ns", "0s", "-1m"])
def test_its_text_is_short(text: str) -> None:
    spans = {"0s": Duration(0), "-1m": Duration(-60 * SECOND)}
    assert str(spans.get(text) or parse_duration(text)) == text


@given(st.text(max_size=12))
def test_any_text_is_a_span_or_a_value_error(text: str) -> None:
    try:
        assert parse_duration(text).ns > 0
    except ValueError as error:
        assert str(error)
