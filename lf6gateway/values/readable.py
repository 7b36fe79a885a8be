"""Figures and foreign text as a person reads them: amounts, spans of time, moments, and names in which nothing is
hidden. Owns these forms; must never parse them, nor mark anything up."""

from __future__ import annotations

import unicodedata
from datetime import datetime
from typing import Final

_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories of characters that show nothing, or steer how others are shown: https://www.unicode.org/reports/tr44/."""
_MARKS: Final = 3
"""Marks upon one letter that are shown; more of them run into the lines around."""


def visible(text: str, most: int = 400) -> str:
    """Text with nothing hidden in it: control characters, those that turn the direction of writing, and others that
    show nothing stand as ``\\u{202e}``; what is longer than ``most`` characters is cut."""
    if text.isascii() and text.isprintable() and len(text) <= most:
        return text
    shown, marks = [], 0
    for character in text[:most]:
        category = unicodedata.category(character)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        hidden = category in _HIDDEN or marks > _MARKS or (category == "Zs" and character != " ")
        shown.append(f"\\u{{{ord(character):x}}}" if hidden else character)
    return "".join(shown) + ("…" if len(text) > most else "")


def amount(size: float) -> str:
    """A number of bytes in three digits or so: ``1.4 MiB``."""
    place = 0
    while size >= 999.5 and place < len(_UNITS) - 1:
        size, place = size / 1024, place + 1
    return f"{_digits(size) if place else f'{size:.0f}'} {_UNITS[place]}"


def number(value: float) -> str:
    """A count with commas between thousands, or a rate with as many decimals as say something."""
    return f"{value:,.0f}" if value == int(value) or value >= 100 else _digits(value)


def span(seconds: float | None) -> str:
    """A span of time in its two largest units; a dash for none."""
    if seconds is None:
        return "–"
    if seconds == 0:
        return "0 s"
    if seconds < 0.0995:
        return f"{_digits(seconds * 1e3)} ms"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < 9.95:
        return f"{_digits(seconds)} s"
    whole = round(seconds)
    for large, small, worth, part in (("d", "h", 86_400, 3_600), ("h", "min", 3_600, 60), ("min", "s", 60, 1)):
        if whole >= worth:
            rest = whole % worth // part
            return f"{whole // worth} {large} {rest} {small}" if rest else f"{whole // worth} {large}"
    return f"{whole} s"


def part(value: float) -> str:
    """A part of a whole, from 0 to 1, in percent."""
    return f"{100 * value:.0f} %" if value == 0 or value >= 0.0995 else f"{100 * value:.1f} %"


def clock(at: datetime, now: datetime) -> str:
    """A moment: the time of day, and the day where it is another one."""
    return at.strftime("%H:%M:%S" if at.date() == now.date() else "%Y-%m-%d %H:%M:%S")


def plural(count: int, one: str, more: str = "") -> str:
    """A count with its noun."""
    return f"{number(count)} {one if count == 1 else more or one + 's'}"


def _digits(value: float) -> str:
    if value == int(value):
        return f"{value:.0f}"
    if value < 0.00995:
        return f"{value:.1g}"
    return f"{value:.2f}" if value < 0.995 else f"{value:.1f}" if value < 99.5 else f"{value:.0f}"
