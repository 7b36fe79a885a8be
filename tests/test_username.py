"""Which names users may have."""

from __future__ import annotations

import pytest

from lf6gateway.values.username import BadUsername, parse_username


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "alice",
        "a" * 128,
        "\u20ac" * 128,
        "...",
        ".a",
        "a b",
        "a:b",
        "\u00e9\u00df\u4e2d",
        "-",
        "%2e%2e",
        "a@b",
        "'",
    ],
)
def test_names_that_users_have(name: str) -> None:
    assert parse_username(name.encode()) == name


@pytest.mark.parametrize(
    ("sent", "why"),
    [
        (b"", "empty"),
        (b".", "another folder"),
        (b"..", "another folder"),
        (b"../../x", '"/"'),
        (b"a/b", '"/"'),
        (b"a\\b", r'"\\"'),
        (b"a" * 129, "129 characters"),
        (("\u20ac" * 129).encode(), "129 characters"),
        (b"a\x00", r"U\+0000"),
        (b"\x1fa", r"U\+001F"),
        (b"a\x7f", r"U\+007F"),
        ("a\u0085".encode(), r"U\+0085"),
        ("\u009f".encode(), r"U\+009F"),
        (b"\xff", "UTF-8"),
        (b"\xc0\xae\xc0\xae", "UTF-8"),
        (b"\xed\xa0\x80", "UTF-8"),
    ],
)
def test_names_that_no_user_has(sent: bytes, why: str) -> None:
    with pytest.raises(BadUsername, match=why):
        parse_username(sent)


def test_what_is_beside_the_control_characters_is_taken() -> None:
    assert parse_username("\u00a0~ ".encode()) == "\u00a0~ "
