"""What a command prints for people: tables, sizes and ages. Owns that nothing which somebody else
named can steer the terminal; must never touch what is printed for programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final, TextIO

from lf6gateway.values.printable import columns, printable
from lf6gateway.values.size import GIB, KIB, MIB, TIB

_UNITS: Final = ((TIB, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB"))
_SPANS: Final = ((86_400, "d"), (3_600, "h"), (60, "m"))


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
    for line in columns([[printable(word) for word in row] for row in rows], right):
        print(line, file=out or sys.stdout)
