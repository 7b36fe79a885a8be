"""Who sent most in the last hour, the last day and since the start, in bounded memory and never too high."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from lf6gateway.values.distinct import Distinct
from lf6gateway.values.entry import Entry
from lf6gateway.values.heavy import Heavy
from lf6gateway.values.stream import Stream
from lf6gateway.values.volumes import MINUTE_NS, MOST_KEPT, MOST_NOW, Volumes

START = 29_000_040 * MINUTE_NS  # an hour's beginning


def entry(user: str, minute: int, size: int = 10, count: int = 1) -> Entry:
    return Entry(START + minute * MINUTE_NS, user, b"x" * size, count, None, "r")


def tops(volumes: Volumes) -> list[dict[str, int]]:
    return [
        {user: volume.records for user, volume in span.users.top(10)}
        for span in (volumes.hour(), volumes.day(), volumes.whole())
    ]


def test_an_hour_a_day_and_all() -> None:
    volumes = Volumes()
    volumes.records(Stream.USAGE, [entry("alice", 0), entry("bob", 0, count=3), entry("alice", 0)])
    assert tops(volumes) == [{"alice": 2, "bob": 3}] * 3
    volumes.records(Stream.USAGE, [entry("alice", 59)])
    assert tops(volumes)[0] == {"alice": 3, "bob": 3}
    volumes.turn(START + 60 * MINUTE_NS)
    assert tops(volumes) == [{"alice": 1}, {"alice": 3, "bob": 3}, {"alice": 3, "bob": 3}]
    volumes.specimen("carol", 1000, START + (23 * 60 + 59) * MINUTE_NS)
    assert tops(volumes)[1] == {"carol": 1, "alice": 3, "bob": 3}
    volumes.turn(START + 24 * 60 * MINUTE_NS)
    assert tops(volumes)[1:] == [{"carol": 1}, {"carol": 1, "alice": 3, "bob": 3}]
    whole = volumes.whole()
    assert whole.names.count() == 3
    assert (whole.streams[Stream.USAGE].records, whole.streams[Stream.SPECIMEN].bytes) == (6, 1000)
    assert volumes.totals[Stream.USAGE].requests == 4


def test_a_clock_that_is_set_back_loses_nothing() -> None:
    volumes = Volumes()
    volumes.records(Stream.ERROR, [entry("alice", 10)])
    volumes.records(Stream.ERROR, [entry("alice", 5)])
    assert tops(volumes) == [{"alice": 2}] * 3


def test_no_number_of_users_makes_it_grow() -> None:
    volumes = Volumes()
    for minute in range(3):
        volumes.records(Stream.USAGE, [entry("large", minute, 500)])
        for number in range(3 * MOST_NOW):
            volumes.records(Stream.USAGE, [entry(f"u{minute}-{number}", minute)])
    assert len(volumes._now) <= 2 * MOST_NOW + 1
    assert len(volumes._present.users) <= 2 * MOST_NOW
    assert all(len(span.users) <= MOST_KEPT for _, span in volumes._minutes)
    hour = volumes.hour()
    assert hour.users.top(1)[0][0] == "large" and hour.users.top(1)[0][1].bytes == 1500
    assert abs(hour.names.count() / (9 * MOST_NOW) - 1) < 0.1
    assert hour.streams[Stream.USAGE].records == 9 * MOST_NOW + 3


@given(st.lists(st.tuples(st.sampled_from("abcdefghijklmnop"), st.integers(1, 100)), max_size=300), st.integers(1, 4))
def test_nobody_is_counted_too_high_and_the_largest_are_there(sent: list[tuple[str, int]], most: int) -> None:
    heavy, exact = Heavy(most), Counter[str]()
    for name, size in sent:
        heavy.add(name, 1, 1, size)
        exact[name] += size
    found = {name: volume.bytes for name, volume in heavy.top(100)}
    assert len(heavy) <= 2 * most
    for name, size in exact.items():
        assert found.get(name, 0) <= size
        assert found.get(name, 0) >= size - heavy.missed


@given(st.sets(st.text(), max_size=200))
def test_few_names_are_counted_well(names: set[str]) -> None:
    made, other = Distinct(), Distinct()
    for place, name in enumerate(names):
        (made if place % 2 else other).add(name)
        made.add(name)
    made.merge(other)
    assert abs(made.count() - len(names)) <= max(2, 0.1 * len(names))


def test_many_names_are_counted_about() -> None:
    made = Distinct()
    for number in range(30_000):
        made.add(f"user-{number}")
    assert abs(made.count() / 30_000 - 1) < 0.1
