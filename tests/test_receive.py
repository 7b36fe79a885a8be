"""The receiver: the moment of reception, repeated keys whatever the order of events, and when nothing is taken."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from lf6gateway.disk.space import Refusal
from lf6gateway.disk.unavailable import SpoolUnavailable
from lf6gateway.services.admission import PROMISED
from lf6gateway.services.receive import Receiver
from lf6gateway.values.idempotency import digest_of
from lf6gateway.values.stream import Stream
from tests.deferreds import result_of
from tests.http_support import START_NS, Backend


def send(backend: Backend, lines: bytes = b"1\n", key: str | None = None, user: str = "alice") -> Deferred[None]:
    return Deferred.fromCoroutine(
        backend.receiver.records(Stream.USAGE, user=user, lines=lines, count=1, key=key, request_id="r")
    )


def failed(work: Deferred[None]) -> SpoolUnavailable:
    with pytest.raises(SpoolUnavailable) as caught:
        result_of(work)
    return caught.value


def test_no_two_receptions_share_a_moment_even_if_the_clock_stands_or_goes_back() -> None:
    backend = Backend()
    for step in (0, 0, -5_000, 1, 0):
        backend.now_ns += step
        result_of(send(backend))
        specimen = backend.receiver.specimen(user="a", uri="u", content_type=None, key=None, request_id="r")
        result_of(specimen.commit())
    moments = [entry.received_ns for entry in backend.usage.entries]
    moments += [writer.about["received_ns"] for writer in backend.specimens.begun]
    assert len(set(moments)) == 10
    assert sorted(moments) == list(range(START_NS, START_NS + 10))
    backend.now_ns += 10**9
    result_of(send(backend))
    assert backend.usage.entries[-1].received_ns == backend.now_ns


def test_entries_are_appended_in_the_order_they_were_received() -> None:
    backend = Backend()
    backend.usage.by_hand = True
    sent = [send(backend, b"%d\n" % number) for number in range(5)]
    assert not any(one.called for one in sent)
    backend.usage.flush()
    assert all(one.called for one in sent)
    assert backend.usage.lines == b"0\n1\n2\n3\n4\n"
    moments = [entry.received_ns for entry in backend.usage.entries]
    assert moments == sorted(moments)


def test_the_key_goes_to_disk_with_the_record() -> None:
    backend = Backend()
    result_of(send(backend, key="k"))
    assert backend.usage.entries[0].key == "k"
    assert backend.keys.seen(digest_of(Stream.USAGE, "alice", "k"), backend.now_ns)


def test_who_repeats_a_request_under_way_waits_for_it() -> None:
    backend = Backend()
    backend.usage.by_hand = True
    first, second, third = (send(backend, key="k") for _ in range(3))
    other = send(backend, b"2\n", key="k", user="bob")
    assert len(backend.usage.pending) == 2
    backend.usage.flush()
    assert all(one.called for one in (first, second, third, other))
    assert backend.usage.lines == b"1\n2\n"


def test_who_waited_for_a_request_that_failed_has_another_try() -> None:
    backend = Backend()
    backend.usage.by_hand = True
    first, second, third = (send(backend, key="k") for _ in range(3))
    backend.usage.failing = SpoolUnavailable("disk_failing", "EIO", 3)
    backend.usage.flush()
    assert failed(first).reason == "disk_failing"
    assert not second.called and not third.called
    assert len(backend.usage.pending) == 1
    backend.usage.failing = None
    backend.usage.flush()
    assert result_of(second) is None and result_of(third) is None
    assert backend.usage.lines == b"1\n"


def test_a_key_counts_for_an_hour() -> None:
    backend = Backend()
    result_of(send(backend, key="k"))
    backend.now_ns += 3_599 * 10**9
    result_of(send(backend, key="k"))
    assert len(backend.usage.entries) == 1
    backend.now_ns += 2 * 10**9
    result_of(send(backend, key="k"))
    assert len(backend.usage.entries) == 2


def test_when_no_key_can_be_remembered_requests_with_one_are_put_off() -> None:
    backend = Backend(max_keys=2)
    result_of(send(backend, key="a"))
    result_of(send(backend, key="b"))
    result_of(send(backend, key="a"))
    refused = failed(send(backend, key="c"))
    assert refused.reason == "keys_full" and refused.retry_after
    result_of(send(backend))
    backend.now_ns += 2 * 3_600 * 10**9
    result_of(send(backend, key="c"))
    assert len(backend.usage.entries) == 4


def fresh() -> tuple[Backend, Receiver]:
    backend = Backend()
    receiver = Receiver(
        journals={Stream.USAGE: backend.usage, Stream.ERROR: backend.error},
        specimens=backend.specimens,
        space=backend.space,
        keys=backend.keys,
        max_waiting=1_000,
        now_ns=lambda: backend.now_ns,
    )
    backend.receiver = receiver
    return backend, receiver


def test_only_requests_with_a_key_wait_for_the_keys_of_before_the_start() -> None:
    backend, receiver = fresh()
    refusal = receiver.refusal()
    assert refusal is not None and refusal.reason == "starting"
    receiver.open()
    assert receiver.refusal() is None
    result_of(send(backend, b"plain\n"))
    known, unknown = send(backend, key="known"), send(backend, b"new\n", key="unknown")
    assert not known.called and not unknown.called
    assert not receiver.repeated(Stream.USAGE, "alice", "known")
    backend.keys.remember(digest_of(Stream.USAGE, "alice", "known"), backend.now_ns - 10**9)
    receiver.keys_loaded()
    assert result_of(known) is None and result_of(unknown) is None
    assert backend.usage.lines == b"plain\nnew\n"
    assert receiver.repeated(Stream.USAGE, "alice", "known")
    assert not receiver.repeated(Stream.USAGE, "alice", None)


def test_a_stop_does_not_wait_for_keys_that_are_never_loaded() -> None:
    backend, receiver = fresh()
    receiver.open()
    waiting = send(backend, key="k")
    receiver.drain()
    assert failed(waiting).reason == "draining"
    assert failed(send(backend, key="k2")).reason == "draining"
    receiver.keys_loaded()
    assert backend.usage.entries == []


def test_draining_begins_nothing_and_lets_what_has_begun_end() -> None:
    backend = Backend()
    specimen = backend.receiver.specimen(user="a", uri="u", content_type=None, key=None, request_id="r")
    backend.receiver.drain()
    refusal = backend.receiver.refusal()
    assert refusal is not None and refusal.reason == "draining" and refusal.retry_after >= 1
    specimen.write(b"x")
    result_of(specimen.commit())
    result_of(send(backend))  # its body was on the way
    assert len(backend.usage.entries) == 1 and len(backend.specimens.kept) == 1


def test_room_is_looked_at_again_when_the_body_is_there() -> None:
    backend = Backend()
    backend.space.forced = Refusal("spool_full", "full", 9)
    refused = failed(send(backend))
    assert (refused.reason, refused.retry_after) == ("spool_full", 9)
    assert backend.usage.pending == []


def test_a_disk_that_failed_is_tried_now_and_then_and_found_well_again() -> None:
    backend = Backend()
    backend.space.note_failure("EIO")
    assert backend.receiver.admission(1) is None  # this one tries
    for _ in range(3):
        refusal = backend.receiver.admission(1)
        assert refusal is not None and refusal.reason == "disk_failing"
    backend.now_ns += 5 * 10**9
    ready = backend.receiver.refusal()
    assert ready is not None and ready.reason == "disk_failing"  # to be asked is no try
    assert backend.receiver.admission(1) is None
    result_of(send(backend))
    backend.space.note_success()  # as the journal does
    assert backend.receiver.admission(1) is None and backend.receiver.refusal() is None
    backend.space.forced = Refusal("spool_full", "full", 9)
    backend.now_ns += 5 * 10**9
    assert backend.receiver.admission(1) is not None


def test_what_waits_for_the_disk_is_bounded_and_one_request_always_fits() -> None:
    backend = Backend(max_waiting=100)
    assert backend.receiver.refusal(1_000_000) is None
    backend.usage.by_hand = True
    send(backend, b"x" * 60)
    assert backend.receiver.refusal(1_000_000) is None
    send(backend, b"x" * 40)
    refusal = backend.receiver.refusal(1)
    assert refusal is not None and refusal.reason == "busy"
    backend.usage.flush()
    assert backend.receiver.refusal(1) is None


def test_the_limit_of_the_spool_holds_for_what_is_appended_at_the_same_time() -> None:
    backend = Backend(max_bytes=100)
    backend.usage.by_hand = True
    first, second = send(backend, b"x" * 59 + b"\n"), send(backend, b"x" * 59 + b"\n")
    assert failed(second).reason == "spool_full"
    refusal = backend.receiver.refusal(41)
    assert refusal is not None and refusal.reason == "spool_full"
    assert backend.receiver.refusal(40) is None
    backend.usage.flush()
    result_of(first)
    assert backend.usage.lines == b"x" * 59 + b"\n"


def test_the_limit_of_the_spool_holds_for_specimens_that_come_in_at_the_same_time() -> None:
    backend = Backend(max_bytes=100)
    first = backend.receiver.specimen(user="a", uri="u", content_type=None, key=None, request_id="r", length=60)
    assert backend.receiver.refusal(40) is None
    refusal = backend.receiver.refusal(41)
    assert refusal is not None and refusal.reason == "spool_full"
    result_of(first.abort())
    assert backend.receiver.refusal(100) is None


def test_a_slow_sender_of_a_large_specimen_keeps_no_more_room_from_others_than_one_mebibyte() -> None:
    backend = Backend(max_bytes=PROMISED + 100)
    backend.receiver.specimen(user="a", uri="u", content_type=None, key=None, request_id="r", length=1 << 40)
    assert backend.receiver.refusal(100) is None
    assert backend.receiver.refusal(101) is not None


def test_a_specimen_repeated_while_the_first_comes_in_is_kept_once_whoever_ends_first() -> None:
    backend = Backend()
    first, second = (
        backend.receiver.specimen(user="a", uri="u", content_type=None, key="k", request_id=name) for name in "12"
    )
    first.write(b"sent once")
    second.write(b"sent once")
    result_of(second.commit())
    result_of(first.commit())
    assert [writer.state for writer in backend.specimens.begun] == ["aborted", "committed"]


def test_a_specimen_that_cannot_be_committed_leaves_nothing() -> None:
    for key in (None, "k"):
        backend = Backend()
        specimen = backend.receiver.specimen(user="a", uri="u", content_type=None, key=key, request_id="r")
        backend.specimens.begun[0].failing = SpoolUnavailable("disk_failing", "ENOSPC", None)
        outcome: list[object] = []
        Deferred.fromCoroutine(specimen.commit()).addBoth(outcome.append)
        assert isinstance(outcome[0], Failure) and outcome[0].check(SpoolUnavailable)
        assert backend.specimens.begun[0].state == "aborted"
        assert not backend.receiver.repeated(Stream.SPECIMEN, "a", "k")
