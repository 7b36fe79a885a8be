"""The client's queue and its decisions: what an answer means, what a parcel's mark says, and what a crash leaves."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lf6gateway.client.answers import Answer, Verdict, judge, retry_after, unanswered
from lf6gateway.client.courier import KEY_SECONDS, Courier, Teller
from lf6gateway.client.events import Event
from lf6gateway.client.options import Options
from lf6gateway.client.outbox import Outbox, Ticket
from lf6gateway.client.parcel import Parcel, parse_parcel
from lf6gateway.client.records import exception_record, line_of

PROBLEM = {"content-type": "application/problem+json"}
OPEN = unanswered(TimeoutError("no answer"), sent=True)
NOT_SENT = unanswered(ConnectionRefusedError("nobody there"), sent=False)


def problem(status: int, name: str, **headers: str) -> Answer:
    body = f'{{"type":"urn:lf6gateway:problem:{name}","detail":"words"}}'.encode()
    return Answer(status, {**PROBLEM, **headers}, body)


@dataclass
class Bench:
    """A courier with a clock that is moved by hand."""

    root: Path
    options: dict[str, Any] = field(default_factory=dict)
    now: float = 1_800_000_000.0

    def __post_init__(self) -> None:
        self.events: list[Event] = []
        self.keys = count(1)
        self.begin()

    def begin(self) -> None:
        """As a process that has just started."""
        options = Options(**{"batch_seconds": 0.0, "told": self.events.append, **self.options})
        self.teller = Teller(options.told)
        self.outbox = Outbox(
            str(self.root),
            options,
            told=self.teller,
            new_key=lambda: f"{next(self.keys):032x}",
            now_ns=lambda: int(self.now * 1e9),
            monotonic=lambda: self.now,
        )
        self.courier = Courier(
            self.outbox, options, self.teller, now=lambda: self.now, monotonic=lambda: self.now, random=lambda: 1.0
        )

    def die(self) -> None:
        """As by ``kill -9``: the kernel closes the files, nobody tidies up."""
        self.outbox.forget()
        self.begin()

    def next(self) -> Parcel:
        found = self.courier.next()
        assert isinstance(found, Parcel)
        return found

    def rested(self) -> Parcel:
        """The next parcel, after the pause that there is."""
        found = self.courier.next()
        while not isinstance(found, Parcel):
            assert found is not None
            self.now += found
            found = self.courier.next()
        return found

    def files(self) -> list[str]:
        return sorted(path.name for path in self.root.rglob("*") if path.is_file() and path.name != "lock")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "queue" / "identity")
    yield made
    made.outbox.close()


@pytest.mark.parametrize(
    ("answer", "kind", "certain", "whole"),
    [
        (Answer(204, {}), "kept", True, True),
        (Answer(200, {}), "refused", False, True),
        (Answer(302, {}), "refused", False, True),
        (problem(400, "invalid-json"), "never", True, True),
        (problem(400, "invalid-user"), "refused", True, False),
        (Answer(400, {}, b"<html>"), "refused", True, False),
        (problem(401, "bad-token"), "refused", True, False),
        (problem(403, "stream-not-allowed"), "refused", True, False),
        (Answer(404, {}), "refused", True, False),
        (Answer(408, {}), "again", True, True),
        (Answer(413, {}, b"<html>"), "never", True, True),
        (problem(429, "too-many-requests"), "again", True, False),
        (Answer(500, {}), "again", False, True),
        (Answer(502, {}), "again", False, True),
        (problem(503, "spool_full"), "again", True, True),
        (problem(503, "disk_failing"), "again", False, True),
        (Answer(503, {}, b"<html>"), "again", False, True),
    ],
)
def test_each_answer_has_one_meaning(answer: Answer, kind: str, certain: bool, whole: bool) -> None:
    verdict = judge(answer, now=0.0)
    assert (verdict.kind, verdict.certain, verdict.whole) == (kind, certain, whole)


def test_a_retry_after_is_a_number_or_a_date() -> None:
    assert retry_after("120", 0.0) == 120.0
    assert retry_after("Thu, 01 Jan 1970 00:02:00 GMT", 20.0) == 100.0
    assert retry_after("Thu, 01 Jan 1970 00:02:00 GMT", 200.0) == 0.0
    for nothing in (None, "", "soon", "-1", "٣", "1e9", "Thu, 99 Jan 1970"):
        assert retry_after(nothing, 0.0) == 0.0


@given(st.integers(100, 599), st.binary(max_size=80), st.text(max_size=20), st.text(max_size=20))
def test_no_answer_breaks_the_decision(status: int, body: bytes, kind: str, after: str) -> None:
    for content_type in (kind, "application/problem+json"):
        verdict = judge(Answer(status, {"content-type": content_type, "retry-after": after}, body), now=0.0)
        assert (verdict.kind == "kept") == (status == 204)


def test_what_is_acknowledged_is_synced_before(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    synced, folder = os.fdatasync, os.fsync
    monkeypatch.setattr(os, "fdatasync", lambda descriptor: (synced(descriptor), done.append("file")))
    monkeypatch.setattr(os, "fsync", lambda descriptor: (folder(descriptor), done.append("folder")))
    assert bench.outbox.append("usage", [b"1\n"]) == [None]
    assert done == ["folder", "file"]
    done.clear()
    parcel = bench.next()
    assert parcel.since == int(bench.now)
    assert done == ["folder"]  # the mark, before anything is sent


def test_a_parcel_keeps_its_key_and_its_bytes_through_a_kill(bench: Bench) -> None:
    bench.outbox.append("usage", [b"1\n", b"2\n"])
    first = bench.next()
    bench.die()
    bench.now += 100
    again = bench.next()
    assert again == first
    assert bench.outbox.body(again) == b"1\n2\n"
    bench.courier.settle(again, Verdict("kept"))
    assert bench.files() == []
    assert bench.teller.figures.sent == 2
    assert bench.events == []


def test_a_record_whose_write_was_cut_short_goes_and_those_before_it_stay(bench: Bench) -> None:
    bench.outbox.append("error", [b'{"n":1}\n'])
    (growing,) = bench.root.rglob("*.open")
    with growing.open("ab") as file:
        file.write(b'{"n":')
    for _ in range(2):
        bench.die()
        assert bench.outbox.body(bench.next()) == b'{"n":1}\n'


@pytest.mark.parametrize(
    ("attempts", "doubtful"),
    [
        ([NOT_SENT], False),
        ([judge(problem(503, "spool_full"))] * 3, False),
        ([OPEN], True),
        ([judge(Answer(502, {}))], True),
        # What the first attempt came to is still not known after one that was refused.
        ([OPEN, judge(problem(503, "spool_full"))], True),
        ([OPEN, NOT_SENT], True),
    ],
)
@pytest.mark.parametrize("killed", [False, True])
def test_after_an_hour_only_what_may_have_been_kept_is_doubtful(
    bench: Bench, attempts: list[Verdict], doubtful: bool, killed: bool
) -> None:
    bench.outbox.append("usage", [b"1\n", b"2\n"])
    keys = set()
    for verdict in attempts:
        parcel = bench.rested()
        keys.add(parcel.key)
        bench.courier.settle(parcel, verdict)
    if killed:
        bench.die()
    bench.now += KEY_SECONDS
    assert {bench.rested().key} == keys
    assert [(event.kind, event.records) for event in bench.events] == ([("doubtful", 2)] if doubtful else [])
    assert bench.teller.figures.doubtful == (2 if doubtful else 0)


def test_within_the_hour_nothing_is_doubtful_and_later_it_is_set_aside_if_asked(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "queue" / "identity", {"when_doubtful": "set-aside"})
    bench.outbox.append("usage", [b"1\n"])
    bench.courier.settle(bench.next(), OPEN)
    bench.now += KEY_SECONDS - 1
    bench.courier.settle(bench.rested(), OPEN)
    assert bench.events == []
    bench.now += 100
    assert bench.courier.next() is None
    ((kind, path),) = [(event.kind, event.path) for event in bench.events]
    assert kind == "set-aside"
    assert Path(str(path)).read_bytes() == b"1\n"
    assert bench.teller.figures.doubtful == 1


def test_pauses_grow_and_the_gateways_word_counts(bench: Bench) -> None:
    bench.outbox.append("usage", [b"1\n"])
    pauses = []
    for _ in range(10):
        bench.courier.settle(bench.rested(), NOT_SENT)
        pauses.append(bench.courier.next())
    assert pauses == [0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    bench.courier.settle(bench.rested(), judge(problem(503, "spool_full", **{"retry-after": "500"})))
    bench.courier.hurry()
    assert bench.courier.next() == 500


def test_a_stream_that_is_refused_holds_up_no_other(bench: Bench) -> None:
    bench.outbox.append("usage", [b"1\n"])
    bench.now += 1
    bench.outbox.append("error", [b"2\n"])
    bench.courier.settle(bench.next(), judge(problem(403, "stream-not-allowed")))
    other = bench.next()
    assert other.stream == "error"
    bench.courier.settle(other, Verdict("kept"))
    assert bench.courier.next() == 5.0
    assert [event.kind for event in bench.events] == ["refused"]


def test_halves_of_a_batch_have_the_same_keys_whenever_it_is_halved(bench: Bench) -> None:
    bench.outbox.append("usage", [b"%d\n" % n for n in range(5)])
    whole = bench.next()
    before = {path: path.read_bytes() for path in bench.root.rglob("*.usage.*")}
    bench.courier.settle(whole, judge(problem(400, "invalid-json")))
    halves = bench.files()
    assert len(halves) == 2
    sent = bench.next()
    bench.courier.settle(sent, Verdict("kept"))
    # As if the power had gone before the whole was removed, and the half that was sent had come back with it.
    for path, data in before.items():
        path.write_bytes(data)
    bench.die()
    again = bench.next()
    while again.key != whole.key:
        bench.courier.settle(again, Verdict("kept"))
        again = bench.next()
    bench.courier.settle(again, judge(problem(400, "invalid-json")))
    assert bench.files() == halves
    assert sent.key in {one.key for name in halves if (one := parse_parcel(name, 0))}


def test_what_waits_is_counted_at_every_moment(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    # ``flush`` looks without a lock, while the queue is at work in another thread.
    seen: list[int] = []
    for name in ("rename", "close", "unlink", "fsync"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, real=real, **k: (seen.append(bench.outbox.waiting), real(*a, **k))[1])
    lists: list[Any] = []

    class Watched(list[Parcel]):
        def __delitem__(self, index: Any) -> None:
            super().__delitem__(index)
            lists.append(len(self))

    bench.outbox.append("usage", [b"%d\n" % n for n in range(4)])
    bench.outbox._parcels = Watched()
    del seen[:]
    whole = bench.next()
    bench.courier.settle(whole, judge(problem(400, "invalid-json")))
    assert len(seen) > 5
    assert min(seen) == 1
    assert min(lists) == 1


def test_a_specimen_counts_when_it_is_whole_or_not_at_all(bench: Bench) -> None:
    class Breaking(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input"):
        bench.outbox.specimen(Breaking(), {"uri": "a"}, expected=0, ticket=Ticket())
    ticket = Ticket()
    ticket.give_up()
    assert bench.outbox.specimen(io.BytesIO(b"b"), {"uri": "b"}, expected=1, ticket=ticket) is None
    assert bench.files() == []
    assert bench.outbox.specimen(io.BytesIO(b"c\nd"), {"uri": "c\nd"}, expected=0, ticket=Ticket()) is not None
    bench.die()
    head, file, size = bench.outbox.open_specimen(bench.next())
    with file:
        assert (head, file.read(), size) == ({"uri": "c\nd"}, b"c\nd", 3)


def test_a_disk_that_fails_is_told_and_what_was_synced_before_stays(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bench.outbox.append("usage", [b"1\n"]) == [None]

    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        (error,) = bench.outbox.append("usage", [b"2\n"])
        assert "Input/output error" in str(error)
    assert bench.outbox.append("usage", [b"3\n"]) == [None]
    bench.die()
    sent = []
    for _ in range(2):
        parcel = bench.next()
        sent.append(bench.outbox.body(parcel))
        bench.courier.settle(parcel, Verdict("kept"))
    assert sent == [b"1\n", b"3\n"]
    assert bench.outbox.used == 0


def test_what_a_living_process_has_is_not_taken_over(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "queue" / "identity")
    bench.outbox.append("usage", [b"1\n"])
    other = Bench(bench.root)
    assert other.courier.next() is None
    bench.outbox.forget()
    other.now += 61
    assert other.outbox.body(other.next()) == b"1\n"
    other.outbox.close()


def test_a_group_of_exceptions_and_odd_ones_become_records() -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    error = ExceptionGroup("several", [ValueError("a"), Odd()])
    error.add_note("a note")
    made = exception_record(error)
    assert [one["message"] for one in made["exceptions"]] == ["a", f"<{Odd.__qualname__} cannot be printed>"]
    assert made["notes"] == ["a note"]

    def deep(n: int) -> None:
        deep(n + 1)

    with pytest.raises(RecursionError) as caught:
        deep(0)
    assert len(line_of(exception_record(caught.value), most=1 << 20)) < 20_000
