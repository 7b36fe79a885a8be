"""Which hours are asked for, and which prefixes of keys cover them, so that a year of data is not listed for one hour.
Owns that choice; must never list anything, nor read a clock.

A whole year, month or day is one prefix, and single hours are one each, unless more than half of a day is wanted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from lf6gateway.values.slot import Slot

_MANY_HOURS: Final = 12
"""Hours of one day from which on the day is listed as one: one request of a thousand keys costs less than as many."""


@dataclass(frozen=True, slots=True)
class Window:
    """A span of time: from ``since_ns`` on, and before ``until_ns``; ``None``: open at that end."""

    since_ns: int | None = None
    until_ns: int | None = None

    def __post_init__(self) -> None:
        if self.since_ns is not None and self.until_ns is not None and self.since_ns >= self.until_ns:
            raise ValueError("the end of the time asked for is not after its beginning; turn --since and --until round")

    @property
    def everything(self) -> bool:
        """Whether it is open at both ends."""
        return self.since_ns is None and self.until_ns is None

    @property
    def first(self) -> Slot | None:
        """The hour that holds its beginning."""
        return None if self.since_ns is None else Slot.at(self.since_ns)

    @property
    def last(self) -> Slot | None:
        """The hour that holds its last moment."""
        return None if self.until_ns is None else Slot.at(self.until_ns - 1)

    def holds(self, moment_ns: int) -> bool:
        """Whether a moment is in it."""
        return (self.since_ns is None or self.since_ns <= moment_ns) and (
            self.until_ns is None or moment_ns < self.until_ns
        )

    def touches(self, slot: Slot) -> bool:
        """Whether some of an hour is in it."""
        return (self.first is None or self.first <= slot) and (self.last is None or slot <= self.last)

    def covers(self, slot: Slot) -> bool:
        """Whether all of an hour is in it."""
        return self.holds(slot.start_ns) and self.holds(slot.end_ns - 1)


def hour_prefixes(first: Slot, last: Slot) -> Iterator[str]:
    """Prefixes that together hold every hour from ``first`` to ``last``, both included, each hour in one of them, in
    the order of time: ``2026/``, ``2026/11/``, ``2026/11/01/`` or ``2026/11/01/05/``. No day without such an hour is in
    one."""
    at = _datetime(first)
    end = _datetime(last) + timedelta(hours=1)
    while at < end:
        day = at.replace(hour=0)
        next_day, next_month, next_year = day + timedelta(days=1), _next_month(day), day.year + 1
        wanted = (min(end, next_day) - at) // timedelta(hours=1)
        if (at.month, at.day, at.hour) == (1, 1, 0) and datetime(next_year, 1, 1, tzinfo=UTC) <= end:
            yield f"{at:%Y}/"
            at = datetime(next_year, 1, 1, tzinfo=UTC)
        elif (at.day, at.hour) == (1, 0) and next_month <= end:
            yield f"{at:%Y/%m}/"
            at = next_month
        elif wanted > _MANY_HOURS:
            yield f"{at:%Y/%m/%d}/"
            at = next_day
        else:
            yield f"{at:%Y/%m/%d/%H}/"
            at += timedelta(hours=1)


def year_bounds(names: list[str]) -> tuple[Slot, Slot] | None:
    """The first and last hour that can be there, by the names of the folders of years; ``None``: there are none."""
    years = [name for name in names if is_year(name)]
    if not years:
        return None
    return Slot.parse(f"{min(years)}010100"), Slot.parse(f"{max(years)}123123")


def is_year(name: str) -> bool:
    """Whether a folder is one of a year."""
    return len(name) == 4 and name.isascii() and name.isdigit() and "1970" <= name < "9999"


def _datetime(slot: Slot) -> datetime:
    return datetime.fromtimestamp(slot.number * 3600, UTC)


def _next_month(day: datetime) -> datetime:
    return datetime(day.year + day.month // 12, day.month % 12 + 1, 1, tzinfo=UTC)
