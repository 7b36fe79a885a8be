"""The pause that all users of one store share."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from lf6gateway.services.breaker import LEASE, Breaker
from lf6gateway.values.failure import Kind, StoreError
from lf6gateway.values.retry import RetryPolicy
from tests.deferreds import result_of, unfired


def fault(kind: Kind = Kind.TRANSIENT, retry_after: float | None = None, remedy: str = "") -> StoreError:
    return StoreError(kind, "PUT b/k", "it said no", retry_after=retry_after, remedy=remedy)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock, RetryPolicy(1.0, 64.0), "errors", random=lambda: 0.5)


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    seen: list[dict[str, Any]] = []

    def observe(event: dict[str, Any]) -> None:
        if event.get("log_namespace") == "lf6gateway.services.breaker":
            seen.append(event)

    globalLogPublisher.addObserver(observe)
    yield seen
    globalLogPublisher.removeObserver(observe)


def test_while_closed_everybody_goes_at_once(breaker: Breaker) -> None:
    for _ in range(3):
        assert result_of(breaker.wait()) is None
    assert (breaker.state, breaker.waiting, breaker.open_for) == ("closed", 0, 0.0)


def test_one_probe_at_a_time_after_the_pause_and_the_longest_waiting_first(breaker: Breaker, clock: Clock) -> None:
    breaker.report(fault())
    first, second, third = breaker.wait(), breaker.wait(), breaker.wait()
    assert breaker.next_attempt == 0.5
    clock.advance(0.49)
    assert unfired(first)
    clock.advance(0.02)
    assert not unfired(first) and unfired(second)
    assert breaker.state == "probing"
    breaker.report(fault())  # the ceiling is 2 s now, half of it is drawn
    again = breaker.wait()
    clock.advance(0.99)
    assert unfired(second)
    clock.advance(0.02)
    assert not unfired(second) and unfired(third) and unfired(again)
    breaker.success()
    assert not unfired(third) and not unfired(again)
    assert (breaker.state, breaker.recoveries, clock.getDelayedCalls()) == ("closed", 1, [])


def test_failures_of_those_already_under_way_count_once(breaker: Breaker) -> None:
    for _ in range(8):
        breaker.report(fault())
    assert breaker.failures == 1
    assert breaker.next_attempt == 0.5
    assert breaker.counts[Kind.TRANSIENT] == 8


def test_what_tells_only_about_one_object_never_opens_and_shows_that_the_store_answers(
    breaker: Breaker, clock: Clock
) -> None:
    breaker.report(fault(Kind.CONFLICT))
    breaker.report(fault(Kind.REFUSED))
    assert breaker.state == "closed"
    breaker.report(fault())
    waiting = breaker.wait()
    other = breaker.wait()
    clock.advance(1)
    assert not unfired(waiting)
    breaker.report(fault(Kind.CONFLICT))
    assert breaker.state == "closed" and not unfired(other)


def test_a_pause_the_store_asks_for_is_granted_also_when_others_still_succeed(breaker: Breaker, clock: Clock) -> None:
    breaker.report(fault(Kind.SLOW_DOWN, retry_after=20))
    waiting = breaker.wait()
    breaker.success()
    assert breaker.state == "open"
    clock.advance(19.9)
    assert unfired(waiting)
    clock.advance(1)
    assert not unfired(waiting)


def test_a_late_answer_can_lengthen_the_pause(breaker: Breaker, clock: Clock) -> None:
    breaker.report(fault())
    breaker.report(fault(Kind.SLOW_DOWN, retry_after=30))
    assert breaker.next_attempt == 30


def test_a_good_answer_of_one_under_way_ends_an_ordinary_pause(breaker: Breaker) -> None:
    breaker.report(fault())
    waiting = breaker.wait()
    breaker.success()
    assert not unfired(waiting)


def test_cancelling_a_wait_leaves_the_turn_to_the_next(breaker: Breaker, clock: Clock) -> None:
    breaker.report(fault())
    first, second = breaker.wait(), breaker.wait()
    first.cancel()
    with pytest.raises(CancelledError):
        result_of(first)
    clock.advance(1)
    assert not unfired(second)


def test_a_probe_that_gives_up_or_falls_silent_does_not_block(breaker: Breaker, clock: Clock) -> None:
    breaker.report(fault())
    first, second, third = breaker.wait(), breaker.wait(), breaker.wait()
    clock.advance(1)
    breaker.gave_up()
    assert not unfired(first) and not unfired(second) and unfired(third)
    clock.advance(LEASE)
    assert not unfired(third)


def test_with_nobody_waiting_nothing_runs_and_the_next_goes_at_once(breaker: Breaker, clock: Clock) -> None:
    breaker.report(fault())
    clock.advance(100)
    assert breaker.state == "due" and clock.getDelayedCalls() == []
    assert not unfired(breaker.wait())
    assert unfired(breaker.wait())


def test_what_an_operator_mends_waits_longer(clock: Clock) -> None:
    breaker = Breaker(clock, RetryPolicy(1.0, 300.0), "errors", random=lambda: 0.0)
    breaker.report(fault(Kind.DENIED))
    assert breaker.next_attempt == 30


def test_hurry_lets_one_go_at_once(breaker: Breaker) -> None:
    breaker.report(fault(Kind.DENIED))
    waiting = breaker.wait()
    breaker.hurry()
    assert not unfired(waiting) and breaker.state == "probing"


def test_stop_leaves_no_timer_and_nobody_waiting(breaker: Breaker, clock: Clock) -> None:
    breaker.report(fault())
    waiting = [breaker.wait(), breaker.wait()]
    breaker.stop()
    for each in waiting:
        with pytest.raises(CancelledError):
            result_of(each)
    assert clock.getDelayedCalls() == [] and breaker.waiting == 0


def test_one_that_fails_at_once_when_let_go_keeps_the_others_waiting(breaker: Breaker) -> None:
    breaker.report(fault())
    first = breaker.wait()
    first.addCallback(lambda _: breaker.report(fault()))
    second = breaker.wait()
    breaker.success()
    assert not unfired(first) and unfired(second) and breaker.state == "open"


def test_an_object_that_always_fails_cannot_hold_the_place_of_the_probe(breaker: Breaker, clock: Clock) -> None:
    went: list[str] = []

    def poison(_: object = None) -> None:
        def attempt(_: object) -> None:
            went.append("poison")
            breaker.report(fault())
            poison()

        breaker.wait().addCallback(attempt)

    poison()
    good: Deferred[None] = breaker.wait()
    good.addCallback(lambda _: breaker.success())
    clock.pump([0.1] * 40)
    assert not unfired(good)
    assert 1 <= len(went) < 40, "it neither starves nor spins"


def test_it_is_told_once_with_the_remedy_reminded_every_ten_minutes_and_when_it_is_over(
    breaker: Breaker, clock: Clock, lines: list[dict[str, Any]]
) -> None:
    error = fault(Kind.DENIED, remedy="allow s3:PutObject")
    breaker.report(error)
    elapsed = 0
    while elapsed < 3600:
        waiting = breaker.wait()
        while unfired(waiting):
            clock.advance(1)
            elapsed += 1
        breaker.report(error)
    assert 6 <= len(lines) <= 7
    assert all(line["remedy"] == "allow s3:PutObject" and line["log_level"].name == "error" for line in lines)
    lines.clear()
    breaker.hurry()
    breaker.success()
    assert [line["log_level"].name for line in lines] == ["info"]


def test_a_store_that_fails_now_and_then_does_not_fill_the_log(
    breaker: Breaker, clock: Clock, lines: list[dict[str, Any]]
) -> None:
    draw = random.Random(3).random
    for _ in range(600):
        clock.advance(0.5)
        if draw() < 0.3:
            breaker.report(fault())
        breaker.success()
    assert breaker.recoveries > 100
    assert len(lines) <= 2 * 6


def test_another_trouble_behind_the_first_is_told_too(
    breaker: Breaker, clock: Clock, lines: list[dict[str, Any]]
) -> None:
    breaker.report(fault())
    breaker.wait()
    clock.advance(1)
    breaker.report(fault(Kind.DENIED, remedy="allow it"))
    assert [line["kind"] for line in lines] == ["transient", "denied"]
