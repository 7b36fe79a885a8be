"""Text from others on a terminal: what comes in records, keys and users' names is hostile, and a terminal obeys control
characters. Owns what is shown in their place, and columns; must never write anything."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from typing import Final

_OBEYED: Final = re.compile(
    rb"[\x00-\x08\x0b-\x1f\x7f]|\xc2[\x80-\x9f]|\xe2\x80[\x8b-\x8f\xa8-\xae]|\xe2\x81[\xa0-\xaf]|\xef\xbb\xbf"
)
"""In UTF-8: controls but for tab and line feed, characters without width, marks of direction."""


def printable(text: str, longest: int | None = None) -> str:
    """A text with everything escaped that a terminal would obey or hide.

    :param longest: characters; what is longer is cut, and ends in an ellipsis.
    """
    if longest is not None and len(text) > longest:
        text = text[: longest - 1] + "…"
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def json_for_terminal(lines: bytes) -> bytes:
    """Lines of JSON with what a terminal would obey written as JSON escapes it; they mean the same. Strings of JSON may
    hold DEL, C1 controls and marks of direction as they are, and what is damaged anything."""
    return _OBEYED.sub(_escaped, lines)


def _escaped(found: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(found[0].decode())


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
