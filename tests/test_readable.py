"""Figures and foreign text as they are read."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lf6gateway.values.hexdump import hexdump, readable
from lf6gateway.values.readable import amount, clock, number, part, plural, span, visible


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (amount(0), "0 B"),
        (amount(999), "999 B"),
        (amount(1000), "0.98 KiB"),
        (amount(1536), "1.5 KiB"),
        (amount(10 << 30), "10 GiB"),
        (amount(1 << 62), "4096 PiB"),
        (number(0), "0"),
        (number(1234567), "1,234,567"),
        (number(0.25), "0.25"),
        (span(None), "–"),
        (span(0), "0 s"),
        (span(0.0012), "1.2 ms"),
        (span(0.25), "250 ms"),
        (span(0.9999), "1.0 s"),
        (span(9.96), "10 s"),
        (span(59.7), "1 min"),
        (span(471), "7 min 51 s"),
        (span(7260), "2 h 1 min"),
        (span(90_000), "1 d 1 h"),
        (part(0), "0 %"),
        (part(0.004), "0.4 %"),
        (part(0.5), "50 %"),
        (plural(1, "file"), "1 file"),
        (plural(2, "process", "processes"), "2 processes"),
    ],
)
def test_figures(shown: str, text: str) -> None:
    assert shown == text


def test_a_moment_has_its_day_where_that_is_another() -> None:
    now = datetime(2026, 5, 4, 12, tzinfo=UTC)
    assert clock(now, now) == "12:00:00"
    assert clock(datetime(2026, 5, 3, 23, 59, 59, tzinfo=UTC), now) == "2026-05-03 23:59:59"


def test_nothing_hides_in_text() -> None:
    assert visible("a\u202eb\x00\u200bc\u00a0d") == "a\\u{202e}b\\u{0}\\u{200b}c\\u{a0}d"
    assert visible("山田 עברית é") == "山田 עברית é"
    assert visible("e" + "\u0301" * 50).count("\u0301") == 3
    assert visible("x" * 500) == "x" * 400 + "…"


@given(st.text(), st.integers(1, 50))
def test_what_is_visible_is_bounded_and_can_be_written(text: str, most: int) -> None:
    shown = visible(text, most)
    shown.encode("utf-8")
    assert shown.isprintable()
    assert len(shown) <= 10 * most + 1


def test_bytes_are_shown_as_text_where_they_are_text() -> None:
    assert readable(b'{"a": 1}\n\tb\r\n') == ("as text", ['{"a": 1}', "    b\\r"])
    assert readable("é".encode() * 3 + b"\xc3") == ("as text", ["ééé"]), "the last character is cut"
    assert readable(b"a\x1b[2Jb")[0] == "in hex"
    assert readable("a\u202eb".encode())[0] == "in hex"
    assert readable(b"\xff\xfe")[0] == "in hex"


def test_hex_has_offsets_and_what_is_printable() -> None:
    assert hexdump(b"\x89PNG\r\n<b>" + bytes(8)) == [
        "000000  89 50 4e 47 0d 0a 3c 62  3e 00 00 00 00 00 00 00  .PNG..<b>.......",
        "000010  00                                                .",
    ]
    assert hexdump(b"") == []


@given(st.binary(max_size=300))
def test_any_bytes_can_be_shown(data: bytes) -> None:
    _, lines = readable(data)
    assert all(line.isprintable() for line in lines)
