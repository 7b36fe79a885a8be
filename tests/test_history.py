"""Each minute of the last day, from readings of counters that only grow."""

from __future__ import annotations

from lf6gateway.values.histogram import SECONDS
from lf6gateway.values.history import DAY, History, Reading

NONE = [0] * (len(SECONDS) + 1)


def reading(records: int, failed: int = 0) -> dict[str, Reading]:
    latency = [records, *NONE[1:]]
    return {"usage": Reading({2: records, 5: failed}, latency, records, 10 * records, records // 2, records, records)}


def note(history: History, minute: int, records: int) -> None:
    history.note(60.0 * minute, reading(records), spool_bytes=1, free_bytes=None, oldest_s=0.0, connections=2)


def test_a_minute_is_what_came_in_it() -> None:
    history = History(SECONDS)
    history.begin(reading(5))
    note(history, 1, 8)
    note(history, 2, 8)
    first, second = history.points(10)
    assert (first.at, first.connections) == (60.0, 2)
    assert (first.streams["usage"].requests, first.streams["usage"].records, first.streams["usage"].bytes) == (3, 3, 30)
    assert first.streams["usage"].p50 is not None and second.streams["usage"].p50 is None
    assert second.streams["usage"].requests == 0
    assert history.points(1) == (second,) and history.points(0) == ()


def test_an_hour_a_day_and_since_the_start() -> None:
    history = History(SECONDS)
    history.begin(reading(0))
    assert history.since(60, reading(7))["usage"].records == 7
    for minute in range(1, 2 * DAY):
        note(history, minute, 10 * minute)
    now = reading(10 * (2 * DAY - 1) + 5)
    assert history.since(60, now)["usage"].records == 59 * 10 + 5
    assert history.since(DAY, now)["usage"].records == (DAY - 1) * 10 + 5
    assert history.since(None, now)["usage"].records == 10 * (2 * DAY - 1) + 5
    assert len(history.points(10 * DAY)) == DAY


def test_what_is_refused_and_what_failed() -> None:
    history = History(SECONDS)
    history.begin(reading(0))
    found = history.since(None, reading(2, failed=1))["usage"]
    assert (found.requests, found.refused, found.failed) == (3, 0, 1)
