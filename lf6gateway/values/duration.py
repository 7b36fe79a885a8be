"""Spans of time as Go writes them (``500ms``, ``90s``, ``1h30m``), which is how the configuration has them. Owns the
grammar and the arithmetic of Go's ``time.ParseDuration``; must never read a clock."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,  # micro sign
    "\u03bcs": 1_000,  # Greek small letter mu
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_SHOWN: Final = (
    ("h", _UNITS["h"]),
    ("m", _UNITS["m"]),
    ("s", _UNITS["s"]),
    ("ms", _UNITS["ms"]),
    ("us", 1_000),
    ("ns", 1),
)
_LIMIT: Final = 1 << 63
_PART: Final = re.compile(r"([0-9]*)(?:(\.)([0-9]*))?([^0-9.]*)")
_FORMS: Final = "write it like 500ms, 90s, 10m or 1h30m"


@dataclass(frozen=True, order=True, slots=True)
class Duration:
    """A span of time of ``ns`` nanoseconds; its text is the shortest one that parses to it again."""

    ns: int

    @property
    def seconds(self) -> float:
        """The span in seconds."""
        return self.ns / 1_000_000_000

    def __str__(self) -> str:
        if not self.ns:
            return "0s"
        rest, text = abs(self.ns), "-" if self.ns < 0 else ""
        for unit, worth in _SHOWN:
            count, rest = divmod(rest, worth)
            if count:
                text += f"{count}{unit}"
        return text


def parse_duration(text: str) -> Duration:
    """The positive span that a text stands for, exactly as Go reads it.

    :raises ValueError: the text is no such span; the message says what would be right.
    """
    if re.fullmatch(r"[0-9]+(\.[0-9]*)?|\.[0-9]+", text) and text.strip("0."):
        raise ValueError(f"is a number without a unit; write {text}s for seconds, {text}m for minutes")
    total = _parse(text)
    if total <= 0:
        raise ValueError(f"must be longer than nothing; {_FORMS}")
    return Duration(total)


def _parse(text: str) -> int:
    sign, rest = (-1 if text[:1] == "-" else 1), text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0
    if not rest:
        raise ValueError(f"is empty; {_FORMS}")
    total = place = 0
    while place < len(rest):
        found = _PART.match(rest, place)
        assert found is not None  # every part of the pattern may be empty
        whole, _, fraction, unit = found.groups()
        if not whole and not fraction:
            raise ValueError(f"is no span of time; {_FORMS}")
        if not unit:
            raise ValueError(f"has a number without a unit; {_FORMS}")
        worth = _UNITS.get(unit)
        if worth is None:
            raise ValueError(f"has an unknown unit; the units are h, m, s, ms, us and ns: {_FORMS}")
        total += int(whole or "0") * worth + _fraction(fraction or "", worth)
        if total >= _LIMIT:
            raise ValueError("is too long; 292 years are the limit")
        place = found.end()
    return sign * total


def _fraction(digits: str, worth: int) -> int:
    # The same floating-point steps as Go's, so that the same text gives the same nanosecond.
    value, scale = 0, 1.0
    for digit in digits:
        if value > (_LIMIT - 1) // 10 or value * 10 + int(digit) > _LIMIT:
            break
        value = value * 10 + int(digit)
        scale *= 10
    return int(value * (worth / scale))
