"""The hour a record was received in, which names its object. Owns the arithmetic of hours; never reads a clock."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

HOUR_NS: Final = 3_600_000_000_000
"""One hour in nanoseconds. UTC has no daylight saving, and POSIX time no leap seconds, so hours are all alike."""

_NAME: Final = re.compile(r"\d{10}")


@dataclass(frozen=True, order=True, slots=True)
class Slot:
    """One UTC hour: ``number`` counts hours since 1970-01-01T00:00Z."""

    number: int

    @classmethod
    def at(cls, moment_ns: int) -> Slot:
        """The hour that holds a moment, given in nanoseconds since 1970."""
        return cls(moment_ns // HOUR_NS)

    @classmethod
    def parse(cls, name: str) -> Slot:
        """The hour named ``YYYYMMDDHH``.

        :raises ValueError: the text is no such name.
        """
        if not _NAME.fullmatch(name) or not name.isascii():
            raise ValueError(f"{name!r} is not an hour of the form YYYYMMDDHH")
        moment = datetime(int(name[:4]), int(name[4:6]), int(name[6:8]), int(name[8:]), tzinfo=UTC)
        return cls(int(moment.timestamp()) // 3600)

    @property
    def name(self) -> str:
        """``YYYYMMDDHH``."""
        return datetime.fromtimestamp(self.number * 3600, UTC).strftime("%Y%m%d%H")

    @property
    def path(self) -> str:
        """``YYYY/MM/DD/HH``."""
        return datetime.fromtimestamp(self.number * 3600, UTC).strftime("%Y/%m/%d/%H")

    @property
    def start_ns(self) -> int:
        """The first moment of the hour, in nanoseconds since 1970."""
        return self.number * HOUR_NS

    @property
    def end_ns(self) -> int:
        """The first moment after the hour, in nanoseconds since 1970."""
        return (self.number + 1) * HOUR_NS

    def over(self, now_ns: int) -> bool:
        """Whether the hour has ended at the moment ``now_ns``."""
        return now_ns >= self.end_ns
