"""Amounts of data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lf6gateway.values.size import format_size, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1048576", 1 << 20),
        ("17B", 17),
        ("512MiB", 512 << 20),
        ("10GiB", 10 << 30),
        ("1.5GiB", 3 << 29),
        ("5MB", 5_000_000),
        ("5 MB", 5_000_000),
        ("2kB", 2000),
        ("2KB", 2000),
        ("3kib", 3072),
        ("1TiB", 1 << 40),
        ("1TB", 10**12),
    ],
)
def test_reads(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no amount"),
        ("-1", "no amount"),
        ("MiB", "no amount"),
        ("1e6", "no amount"),
        ("1,5GiB", "no amount"),
        ("\u0661", "no amount"),
        ("512M", "512MiB for units of 1024 or 512MB for 1000"),
        ("1g", "1GiB"),
        ("1PiB", "unknown unit"),
        ("0.3KiB", "whole number"),
        ("1.5", "whole number"),
    ],
)
def test_refuses(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_size(text)


@given(st.integers(0, 1 << 50))
def test_its_text_is_that_amount_again(size: int) -> None:
    assert parse_size(format_size(size)) == size


def test_its_text_has_the_largest_unit_that_fits() -> None:
    assert [format_size(size) for size in (0, 1, 1023, 1024, 1536, 16 << 20, 10 << 30, 1 << 40)] == [
        "0", "1", "1023", "1KiB", "1536", "16MiB", "10GiB", "1TiB",
    ]  # fmt: skip
