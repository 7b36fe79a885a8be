"""What was acknowledged, by stream and by user: in the last hour, the last day, and since the start. Owns the rings of
minutes and hours in which it is kept, in bounded memory; must never read a clock.

The last hour is the present minute and the 59 before it, the last day the present hour and the 23 before it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from lf6gateway.values.distinct import Distinct
from lf6gateway.values.entry import Entry
from lf6gateway.values.heavy import Heavy, Volume
from lf6gateway.values.stream import Stream

MINUTE_NS: Final = 60_000_000_000
MINUTES: Final = 60
HOURS: Final = 24
MOST_NOW: Final = 2_000
"""Users that are told apart within one minute; of more, the largest."""
MOST_KEPT: Final = 200
"""Users that are kept of a minute or an hour that is over."""


@dataclass(slots=True)
class Span:
    """What a span of time brought."""

    streams: dict[Stream, Volume] = field(default_factory=lambda: {stream: Volume() for stream in Stream})
    users: Heavy = field(default_factory=lambda: Heavy(MOST_KEPT))
    names: Distinct = field(default_factory=Distinct)

    def merge(self, other: Span) -> None:
        """What another span brought, as well."""
        for stream, volume in other.streams.items():
            self.streams[stream].add(volume)
        self.users.merge(other.users)
        self.names.merge(other.names)


class Volumes:
    """See the module."""

    def __init__(self) -> None:
        self._minute = 0
        self._now: dict[str, list[int]] = {}
        self._present = Span(users=Heavy(MOST_NOW))
        self._minutes: deque[tuple[int, Span]] = deque()
        self._hours: deque[tuple[int, Span]] = deque()
        self._whole = Span(users=Heavy(5 * MOST_KEPT))
        self.totals = {stream: Volume() for stream in Stream}
        """All since the start, by stream."""

    def records(self, stream: Stream, entries: Sequence[Entry]) -> None:
        """Reports are on stable storage, so that they are acknowledged."""
        if not entries:
            return
        self.turn(entries[-1].received_ns)
        records = size = 0
        now = self._now
        for entry in entries:
            count, length = entry.count, len(entry.lines)
            records += count
            size += length
            found = now.get(entry.user)
            if found is None:
                now[entry.user] = [1, count, length]
            else:
                found[0] += 1
                found[1] += count
                found[2] += length
        self._count(stream, Volume(len(entries), records, size))

    def specimen(self, user: str, size: int, received_ns: int) -> None:
        """A specimen is on stable storage."""
        self.turn(received_ns)
        found = self._now.setdefault(user, [0, 0, 0])
        found[0] += 1
        found[1] += 1
        found[2] += size
        self._count(Stream.SPECIMEN, Volume(1, 1, size))

    def _count(self, stream: Stream, volume: Volume) -> None:
        self._present.streams[stream].add(volume)
        self.totals[stream].add(volume)
        if len(self._now) > 2 * MOST_NOW:
            self._fold()

    def turn(self, now_ns: int) -> None:
        """It is that moment now, in nanoseconds since 1970; one before a moment that was told already is passed over,
        for the wall clock can be set back."""
        minute = now_ns // MINUTE_NS
        if minute <= self._minute:
            return
        if any(volume.requests for volume in self._present.streams.values()):
            self._keep()
        self._minute = minute
        while self._minutes and self._minutes[0][0] <= minute - MINUTES:
            self._minutes.popleft()
        while self._hours and self._hours[0][0] <= minute // MINUTES - HOURS:
            self._hours.popleft()

    def hour(self) -> Span:
        """The last hour."""
        return self._sum(span for _, span in self._minutes)

    def day(self) -> Span:
        """The last day."""
        return self._sum(span for _, span in self._hours)

    def whole(self) -> Span:
        """All since the start."""
        return self._sum((self._whole,))

    def _sum(self, spans: Iterable[Span]) -> Span:
        self._fold()
        made = Span(users=Heavy(5 * MOST_KEPT))
        for span in (*spans, self._present):
            made.merge(span)
        return made

    def _fold(self) -> None:
        """Move what is counted by name into what is bounded."""
        for name, (requests, records, size) in self._now.items():
            self._present.users.add(name, requests, records, size)
            self._present.names.add(name)
        self._now = {}

    def _keep(self) -> None:
        """The present minute is over."""
        self._fold()
        span, self._present = self._present, Span(users=Heavy(MOST_NOW))
        span.users = span.users.smaller(MOST_KEPT)
        self._minutes.append((self._minute, span))
        hour = self._minute // MINUTES
        if not self._hours or self._hours[-1][0] != hour:
            self._hours.append((hour, Span()))
        self._hours[-1][1].merge(span)
        self._whole.merge(span)
