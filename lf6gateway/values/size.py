"""Amounts of data as people write them (``512MiB``, ``5MB``, ``1048576``). Owns their grammar; must never decide
whether an amount is a sensible one."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

KIB: Final = 1 << 10
MIB: Final = 1 << 20
GIB: Final = 1 << 30
TIB: Final = 1 << 40

_UNITS: Final = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": KIB,
    "mib": MIB,
    "gib": GIB,
    "tib": TIB,
}
_SHOWN: Final = (("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB))
_FORM: Final = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)[ ]?([A-Za-z]*)")
_FORMS: Final = "write it like 512MiB, 10GiB, 5MB or 1048576"


def parse_size(text: str) -> int:
    """The number of bytes that a text stands for: a number of bytes, or one with a unit of 1000 (kB, MB, GB, TB) or of
    1024 (KiB, MiB, GiB, TiB).

    :raises ValueError: the text is no such amount; the message says what would be right.
    """
    found = _FORM.fullmatch(text)
    if not found:
        raise ValueError(f"is no amount of data; {_FORMS}")
    number, unit = found.groups()
    worth = _UNITS.get(unit.lower())
    if worth is None:
        letter = unit.upper()
        if letter in ("K", "M", "G", "T"):
            raise ValueError(
                f"may mean two things; write {number}{letter}iB for units of 1024 or {number}{letter}B for 1000"
            )
        raise ValueError(f"has an unknown unit; the units are KiB, MiB, GiB, TiB and kB, MB, GB, TB: {_FORMS}")
    amount = Decimal(number) * worth
    if amount != int(amount):
        raise ValueError(f"is no whole number of bytes; {_FORMS}")
    return int(amount)


def format_size(amount: int) -> str:
    """The shortest exact text for a number of bytes."""
    for unit, worth in _SHOWN:
        if amount and amount % worth == 0:
            return f"{amount // worth}{unit}"
    return str(amount)
