"""What a command prints for people: tables, sizes, ages and the line of progress. Owns that nothing which somebody else
named can steer the terminal; must never touch what is printed for programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final, TextIO

from lf6gateway.values.size import GIB, KIB, MIB, TIB

_UNITS: Final = ((TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB"))
_SPANS: Final = ((86_400, "d"), (3_600, "h"), (60, "m"))


def escaped(text: str) -> str:
    """Text of somebody's choosing; what does not print, or turns the direction of writing, stands as an escape."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text)


def size(count: int) -> str:
    """Bytes in the largest unit that leaves a figure before the point."""
    for unit, name in _UNITS:
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} B"


def age(seconds: float) -> str:
    """A span in the largest unit that it fills, and the next one."""
    whole = max(0, int(seconds))
    for number, (span, name) in enumerate(_SPANS):
        if whole >= span:
            rest_span, rest_name = _SPANS[number + 1] if number + 1 < len(_SPANS) else (1, "s")
            rest = whole % span // rest_span
            return f"{whole // span}{name}{f'{rest}{rest_name}' if rest else ''}"
    return f"{whole}s"


def table(rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), out: TextIO | None = None) -> None:
    """Print rows in columns, the first row being the heads, everything escaped.

    :param right: the columns of figures, which end in one line.
    """
    shown = [[escaped(word) for word in row] for row in rows]
    widths = [max(len(row[column]) for row in shown) for column in range(len(shown[0]))]
    for row in shown:
        words = [
            word.rjust(width) if column in right else word.ljust(width)
            for column, (word, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(words).rstrip(), file=out or sys.stdout)


class ProgressLine:
    """One line on standard error that is written over and over, where that is a terminal; else nothing."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stderr
        self._shown = False
        self.on = self._out.isatty()

    def show(self, text: str) -> None:
        """Put the line up, in place of the last one."""
        if self.on:
            self._out.write(f"\r\x1b[K{escaped(text)[:160]}")
            self._out.flush()
            self._shown = True

    def clear(self) -> None:
        """Take it away, before anything else is printed."""
        if self._shown:
            self._out.write("\r\x1b[K")
            self._out.flush()
            self._shown = False


def bar(done: float, width: int = 30) -> str:
    """How much of the whole is done, ``done`` from 0 to 1."""
    filled = round(max(0.0, min(1.0, done)) * width)
    return "[" + "#" * filled + "." * (width - filled) + "]"
