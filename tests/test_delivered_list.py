"""Finding what was delivered: no more is listed than is asked for, what comes is in order, and an outage is waited for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from lf6gateway.services.catalogue import Catalogue, Source
from lf6gateway.services.patient import ATTEMPTS, PatientStore
from lf6gateway.stores.memory import MemoryStore, Stored
from lf6gateway.values.asked import Asked
from lf6gateway.values.delivered import Delivered, delivered
from lf6gateway.values.failure import Kind, StoreError
from lf6gateway.values.location import parse_location, stream_prefix
from lf6gateway.values.object_key import record_key
from lf6gateway.values.slot import Slot
from lf6gateway.values.specimen_key import specimen_key
from lf6gateway.values.stream import Stream
from lf6gateway.values.window import Window
from tests.deferreds import result_of, started

NOW = Slot.parse("2026112513")


def filled(keys: list[str]) -> MemoryStore:
    store = MemoryStore()
    store.objects = {key: Stored(b"x", {}, "", f'"{number}"') for number, key in enumerate(keys)}
    return store


def catalogue(store: MemoryStore, clock: Any = None) -> Catalogue:
    patient = PatientStore(store, clock=clock or Clock(), random=lambda: 0.5)
    return Catalogue({stream: Source(patient, f"{stream}/", "memory") for stream in Stream}, lambda: NOW)


async def gathered(found: AsyncIterator[Delivered]) -> list[Delivered]:
    return [one async for one in found]


def found(store: MemoryStore, asked: Asked) -> list[str]:
    return [one.key for one in result_of(gathered(catalogue(store).objects(asked)))]


HOURS = st.integers(NOW.number - 24 * 800, NOW.number)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(HOURS, st.sampled_from(["a", "b-c"])), max_size=15, unique=True),
    st.lists(st.tuples(HOURS, st.sampled_from(["u", "ü", "2026"])), max_size=8),
    st.one_of(st.none(), HOURS),
    st.one_of(st.none(), HOURS),
    st.sampled_from([None, "a", "b-c"]),
)
def test_what_is_asked_for_is_found_in_the_order_of_time(
    hours: list[tuple[int, str]], moments: list[tuple[int, str]], since: int | None, until: int | None, host: str | None
) -> None:
    if since is not None and until is not None:
        since, until = min(since, until), max(since, until)
    window = Window(None if since is None else Slot(since).start_ns, None if until is None else Slot(until).end_ns)
    keys = [record_key(f"{stream}/", Slot(number), name) for number, name in hours for stream in ("usage", "error")]
    keys += [specimen_key("specimen/", user, "a.png", Slot(number).start_ns + 7) for number, user in moments]
    keys += ["usage/2026/11/25/13/somebody-elses", "specimen/x/notes.txt", "usage/_lf6gateway/probe.1"]
    asked = Asked(tuple(Stream), window, host)
    named = [
        delivered(stream, f"{stream}/", key, 1, "", 0) for key in keys for stream in Stream if key.startswith(stream)
    ]
    expected = sorted({one for one in named if one is not None and asked.wants(one)}, key=lambda one: one.order)
    assert found(filled(keys), asked) == [one.key for one in expected]


def test_a_year_of_data_is_not_listed_for_one_hour() -> None:
    keys = [record_key("usage/", Slot(NOW.number - back), "host") for back in range(0, 24 * 365, 7)]
    store = filled(keys)
    hour = Window(NOW.start_ns, NOW.end_ns)
    assert found(store, Asked((Stream.USAGE,), hour)) == keys[:1]
    assert store.requests == [("list", "usage/2026/11/25/13/")]
    store.requests.clear()
    assert found(store, Asked((Stream.USAGE,), hour, "host")) == keys[:1]
    assert store.requests == [("list", "usage/2026/11/25/13/2026112513.host.")]
    store.requests.clear()
    assert found(store, Asked((Stream.USAGE,), Window(Slot.parse("2026112500").start_ns, None)))
    assert store.requests == [("list", "usage/2026/11/25/")]


def test_hours_come_newest_first() -> None:
    keys = [record_key("usage/", Slot(NOW.number - back), "host") for back in (0, 1, 30, 800)]

    async def hours() -> list[int]:
        return [NOW.number - slot.number async for slot in catalogue(filled([*keys, "usage/x/y"])).hours(Stream.USAGE)]

    assert result_of(hours()) == [0, 1, 30, 800]


def test_a_failure_that_passes_is_waited_for_and_nothing_comes_twice() -> None:
    keys = sorted(record_key("usage/", NOW, f"host-{number:05d}") for number in range(2500))
    store, clock = filled(keys), Clock()
    fails = [2, 1, 0, 0, 1, 0]

    async def failing(request: str, key: str) -> None:
        if fails and fails.pop(0):
            raise StoreError(Kind.TRANSIENT, request, "away")

    store.before = failing
    work = started(gathered(catalogue(store, clock).objects(Asked((Stream.USAGE,), Window(NOW.start_ns, None)))))
    clock.pump([1.0] * 20)
    assert [one.key for one in result_of(work)] == keys


def test_a_list_that_breaks_off_goes_on_from_there() -> None:
    clock = Clock()

    class Breaking(MemoryStore):
        async def listed(self, prefix: str, *, after: str = "") -> AsyncIterator[Any]:
            async for page in super().listed(prefix, after=after):
                yield page[:300]
                if len(page) > 300:
                    raise StoreError(Kind.TRANSIENT, "list", "broken off")

    store = Breaking()
    keys = sorted(record_key("usage/", NOW, f"host-{number:05d}") for number in range(1000))
    store.objects = filled(keys).objects
    work = started(gathered(catalogue(store, clock).objects(Asked((Stream.USAGE,), Window(NOW.start_ns, None)))))
    clock.pump([1.0] * 20)
    assert [one.key for one in result_of(work)] == keys


def test_a_read_that_breaks_off_goes_on_from_there() -> None:
    clock, told = Clock(), []

    class Breaking(MemoryStore):
        async def get(self, key: str, **options: Any) -> AsyncIterator[bytes]:
            async for chunk in super().get(key, **options):
                yield chunk[:1000]
                raise StoreError(Kind.TRANSIENT, "get", "broken off")

    store = Breaking()
    data = bytes(range(256)) * 10
    store.objects["a"] = Stored(data, {}, "", '"1"')

    async def whole() -> bytes:
        patient = PatientStore(store, clock=clock, told=told.append, random=lambda: 0.5)
        return b"".join([chunk async for chunk in patient.get("a", start=5, length=2500)])

    work = started(whole())
    clock.pump([1.0] * 20)
    assert result_of(work) == data[5:2505]
    assert len(told) == 3


def test_what_the_operator_has_to_mend_is_told_at_once_and_the_rest_after_some_tries() -> None:
    for kind, tries in ((Kind.DENIED, 1), (Kind.TRANSIENT, ATTEMPTS)):
        store, clock = MemoryStore(), Clock()

        async def failing(request: str, key: str, kind: Kind = kind) -> None:
            raise StoreError(kind, request, "no")

        store.before = failing
        work = started(PatientStore(store, clock=clock).head("a"))
        clock.pump([20.0] * 10)
        with pytest.raises(StoreError):
            result_of(work)
        assert len(store.requests) == tries


@pytest.mark.parametrize(
    ("stream", "prefix", "names", "result"),
    [
        ("usage", "", ["error", "specimen", "usage"], "usage/"),
        ("usage", "in/", ["usage"], "in/usage/"),
        ("usage", "", ["2025", "2026"], ""),
        ("usage", "usage/", ["2026"], "usage/"),
        ("error", "usage/", ["2026"], None),
        ("usage", "", ["alice", "bob"], None),
        ("usage", "", [], None),
        ("specimen", "", ["alice", "bob"], ""),
        ("specimen", "", ["2026"], None),
        ("specimen", "", ["usage"], None),
        ("specimen", "x/specimen/", ["alice"], "x/specimen/"),
    ],
)
def test_where_a_stream_lies(stream: str, prefix: str, names: list[str], result: str | None) -> None:
    assert stream_prefix(Stream(stream), prefix, names) == result


def test_places(tmp_path: Path) -> None:
    assert str(parse_location("s3://bucket/a/b/", "/")) == "s3://bucket/a/b/"
    assert str(parse_location("s3://bucket", "/")) == "s3://bucket/"
    assert parse_location("error=s3://bucket", "/").stream is Stream.ERROR
    assert parse_location("some/../folder/", "/here").folder == "/here/folder"
    assert parse_location("file:///a/b", "/here").folder == "/a/b"
    for wrong in ("", "s3://", "s3://a", "s3://bucket/a//b", "s3://bucket/../x", "https://bucket/x", "a\nb", "usage="):
        with pytest.raises(ValueError, match=r"write it like|remove it"):
            parse_location(wrong, "/here")


def test_keys_are_read_back() -> None:
    for user in ("alice", "2026", "ü~", "..."):
        for uri in ("a.png", "a", ".hidden", "x.tar.gz", "123.1795614665035864959"):
            key = specimen_key("p/", user, uri, 1_795_614_665_035_864_959)
            one = delivered(Stream.SPECIMEN, "p/", key, 1, "", 0)
            assert one is not None
            assert (one.user, one.moment_ns) == (user, 1_795_614_665_035_864_959)
    for key in ("usage/2026/11/25/13/2026112512.h.jsonl.gz", "usage/2026/13/25/13/2026132513.h.jsonl.gz", "usage/x"):
        assert delivered(Stream.USAGE, "usage/", key, 1, "", 0) is None
