"""What each minute of the last day was like, for charts, and how much came and went in a span. Owns the ring of
minutes; must never read a clock.

Points are differences between two readings of counters that only grow, so that nothing is counted while requests come
in."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from lf6gateway.values.histogram import quantile

DAY: Final = 24 * 60
"""Minutes that are kept."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters of one stream at one moment, all since the start.

    :param answered: requests by the hundreds of their status (``2``, ``4``, ``5``).
    :param latency: how long the answers took, as counts by the bounds of a histogram.
    """

    answered: Mapping[int, int]
    latency: Sequence[int]
    records: int
    bytes: int
    shipped_objects: int
    shipped_records: int
    shipped_bytes: int


@dataclass(frozen=True, slots=True)
class StreamPoint:
    """One stream in one minute. Latencies are in seconds, ``None`` where nothing was answered."""

    requests: int
    refused: int
    failed: int
    records: int
    bytes: int
    shipped_objects: int
    shipped_records: int
    shipped_bytes: int
    p50: float | None
    p95: float | None
    p99: float | None


@dataclass(frozen=True, slots=True)
class Point:
    """One minute.

    :param at: its end, seconds since 1970.
    :param spool_bytes: what waited on disk then.
    :param oldest_s: how old the oldest of it was, in seconds; 0 where nothing waited.
    """

    at: float
    streams: Mapping[str, StreamPoint]
    spool_bytes: int
    free_bytes: int | None
    oldest_s: float
    connections: int


@dataclass(frozen=True, slots=True)
class Minutes:
    """Some minutes, the oldest first."""

    version: int
    points: tuple[Point, ...]


class History:
    """See the module.

    :param bounds: of the latencies.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._readings: deque[Mapping[str, Reading]] = deque(maxlen=DAY + 1)
        self._first: Mapping[str, Reading] = {}
        self._points: deque[Point] = deque(maxlen=DAY)

    def begin(self, readings: Mapping[str, Reading]) -> None:
        """What the counters said at the start."""
        self._first = readings
        self._readings.append(readings)

    def note(
        self,
        at: float,
        readings: Mapping[str, Reading],
        *,
        spool_bytes: int,
        free_bytes: int | None,
        oldest_s: float,
        connections: int,
    ) -> None:
        """A minute is over; what the counters say now."""
        before = self._readings[-1]
        streams = {name: point(before[name], now, self._bounds) for name, now in readings.items()}
        self._points.append(Point(at, streams, spool_bytes, free_bytes, oldest_s, connections))
        self._readings.append(readings)

    def points(self, minutes: int) -> tuple[Point, ...]:
        """The last so many minutes, the oldest first."""
        return tuple(self._points)[-minutes:] if minutes > 0 else ()

    def since(self, minutes: int | None, now: Mapping[str, Reading]) -> dict[str, StreamPoint]:
        """What came and went since so many minutes ago, or since the start where that is not so long ago; ``None``:
        since the start."""
        known = minutes is not None and minutes <= len(self._readings)
        before = self._readings[-minutes] if minutes is not None and known else self._first
        return {name: point(before[name], one, self._bounds) for name, one in now.items()}


def point(before: Reading, now: Reading, bounds: Sequence[float]) -> StreamPoint:
    """What lies between two readings."""
    answered = {status: now.answered[status] - before.answered.get(status, 0) for status in now.answered}
    latency = [one - other for one, other in zip(now.latency, before.latency, strict=True)]
    return StreamPoint(
        requests=sum(answered.values()),
        refused=answered.get(4, 0),
        failed=answered.get(5, 0),
        records=now.records - before.records,
        bytes=now.bytes - before.bytes,
        shipped_objects=now.shipped_objects - before.shipped_objects,
        shipped_records=now.shipped_records - before.shipped_records,
        shipped_bytes=now.shipped_bytes - before.shipped_bytes,
        p50=quantile(bounds, latency, 0.5),
        p95=quantile(bounds, latency, 0.95),
        p99=quantile(bounds, latency, 0.99),
    )
