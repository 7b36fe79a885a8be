"""Text from others on a terminal: what comes in records, keys and users' names is hostile, and a terminal obeys control
characters. Owns what is shown in their place, and columns; must never write anything."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable, Sequence


def printable(text: str, longest: int | None = None) -> str:
    """A text with everything escaped that a terminal would obey or hide.

    :param longest: characters; what is longer is cut, and ends in an ellipsis.
    """
    if longest is not None and len(text) > longest:
        text = text[: longest - 1] + "…"
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def width(text: str) -> int:
    """How many columns a printable text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(one) else 1 + (unicodedata.east_asian_width(one) in "WF") for one in text)


def columns(rows: Sequence[Sequence[str]], right: Collection[int] = (), least: Iterable[int] = ()) -> list[str]:
    """Rows as lines of columns; the texts must be printable.

    :param right: which columns are set to the right.
    :param least: how wide each column is at least.
    """
    widths = list(least)
    for row in rows:
        widths += [0] * (len(row) - len(widths))
        for column, text in enumerate(row):
            widths[column] = max(widths[column], width(text))
    lines = []
    for row in rows:
        cells = []
        for column, text in enumerate(row):
            blank = " " * (widths[column] - width(text))
            cells.append(blank + text if column in right else text + blank)
        lines.append("  ".join(cells).rstrip())
    return lines


def size_text(count: int) -> str:
    """A number of bytes for people, three digits of it."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 999.5 or unit == "TiB":
            return f"{count} B" if unit == "B" else f"{amount:.{0 if amount >= 99.95 else 1}f} {unit}"
        amount /= 1024
    raise AssertionError
