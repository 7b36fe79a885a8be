"""How much in how long: so many requests, or so many bytes, in a span of time, as people write it (``600/1m``,
``100MiB/1h``). Owns that grammar; must never count anything."""

from __future__ import annotations

from dataclasses import dataclass

from lf6gateway.values.duration import Duration, parse_duration
from lf6gateway.values.size import format_size, parse_size

MOST: int = 1 << 50
"""The largest amount of a rate."""


@dataclass(frozen=True, slots=True)
class Rate:
    """``amount`` in each ``window``; as much may come at once, after a pause that long."""

    amount: int
    window: Duration
    of_bytes: bool = False

    def __str__(self) -> str:
        return f"{format_size(self.amount) if self.of_bytes else self.amount}/{self.window}"


def parse_rate(text: str, *, of_bytes: bool) -> Rate:
    """The rate that a text stands for.

    :param of_bytes: whether it counts bytes, which may have a unit; else whole requests.
    :raises ValueError: it is none; the message says what would be right.
    """
    right = "write it like 100MiB/1m" if of_bytes else "write it like 600/1m"
    before, slash, after = text.partition("/")
    if not slash:
        raise ValueError(f"is no rate; {right}")
    try:
        if of_bytes:
            amount = parse_size(before.strip())
        elif before.strip().isascii() and before.strip().isdigit() and len(before) < 20:
            amount = int(before)
        else:
            raise ValueError("does not begin with a whole number")
        window = parse_duration(after.strip())
    except ValueError as error:
        raise ValueError(f"is no rate: a part of it {error}; {right}") from None
    if not 1 <= amount <= MOST:
        raise ValueError(f"must be from 1 to {MOST} in its span; {right}")
    return Rate(amount, window, of_bytes)
