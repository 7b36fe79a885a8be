"""Moments as people write them on a command line: ``2h`` ago, a day, an hour, a moment. Owns their grammar; must never
read a clock. A moment without a zone is UTC, as the hours in keys are."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from lf6gateway.values.duration import parse_duration
from lf6gateway.values.settings_problem import shown
from lf6gateway.values.slot import Slot

_FORMS: Final = "write it like 2h, 7d, 2026-11-01, 2026-11-01T05 or 2026-11-01T05:30:00Z"
_DAYS: Final = re.compile(r"([0-9]{1,5})d")
_HOUR: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2})Z?")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_NS: Final = 86_400_000_000_000


def parse_when(text: str, now_ns: int) -> int:
    """The moment a text stands for, in nanoseconds since 1970.

    :param text: a span before now (``90m``, ``2h``, ``7d``), ``now``, ``today`` or ``yesterday`` (their beginnings), or
        a day, hour or moment (RFC 3339, the zone may be left out).
    :raises ValueError: it is none of these; the message says what would be right.
    """
    if text == "now":
        return now_ns
    if text in ("today", "yesterday"):
        return now_ns - now_ns % _DAY_NS - (_DAY_NS if text == "yesterday" else 0)
    if days := _DAYS.fullmatch(text):
        return max(0, now_ns - int(days[1]) * _DAY_NS)
    if hour := _HOUR.fullmatch(text):
        text = f"{hour[1]}T{hour[2]}:00:00"
    try:
        moment = datetime.fromisoformat(text) if re.match(r"[0-9]{4}-", text) else None
    except ValueError:
        raise ValueError(f"{shown(text)} is no moment; {_FORMS}") from None
    if moment is None:
        try:
            return max(0, now_ns - parse_duration(text).ns)
        except ValueError:
            raise ValueError(f"{shown(text)} is no moment; {_FORMS}") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - _EPOCH
    if since < timedelta(0):
        raise ValueError(f"{shown(text)} is before 1970; {_FORMS}")
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1000


def parse_hour(text: str) -> Slot:
    """One hour: ``2026110105``, as in keys, or ``2026-11-01T05``.

    :raises ValueError: it is none.
    """
    try:
        if found := _HOUR.fullmatch(text):
            return Slot.parse(found[1].replace("-", "") + found[2])
        return Slot.parse(text)
    except ValueError:
        raise ValueError(f"{shown(text)} is no hour; write it like 2026-11-01T05 or 2026110105") from None


def format_when(moment_ns: int) -> str:
    """A moment for people: UTC, to the second."""
    return datetime.fromtimestamp(moment_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
