"""Rounds that no error ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from lf6gateway.services.heartbeat import Heartbeat
from tests.deferreds import result_of, unfired


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    seen: list[dict[str, Any]] = []

    def observe(event: dict[str, Any]) -> None:
        if event.get("log_namespace") == "lf6gateway.services.heartbeat":
            seen.append(event)

    globalLogPublisher.addObserver(observe)
    yield seen
    globalLogPublisher.removeObserver(observe)


def test_no_kind_of_error_ends_it_and_the_log_is_not_filled(lines: list[dict[str, Any]]) -> None:
    clock = Clock()
    rounds: list[int] = []

    def raises() -> None:
        rounds.append(1)
        raise OSError("gone")

    async def breaks() -> None:
        rounds.append(1)
        raise ValueError("wrong")

    for work in (raises, breaks):
        rounds.clear()
        lines.clear()
        heart = Heartbeat(clock, "looking", work, 1.0)
        heart.start(now=True)
        clock.pump([1.0] * 120)
        assert len(rounds) == 121 and heart.failures == 121 and heart.failing
        assert 2 <= len(lines) <= 3
        # What the world does wrong is a line; what we do wrong, a traceback besides.
        assert [("log_failure" in line) for line in lines] == [work is breaks] * len(lines)
        result_of(heart.stop())
        clock.advance(5)
        assert len(rounds) == 121


def test_it_says_when_it_works_again(lines: list[dict[str, Any]]) -> None:
    clock = Clock()
    broken = [True]

    def work() -> None:
        if broken:
            raise OSError("gone")

    heart = Heartbeat(clock, "looking", work, 1.0)
    heart.start(now=True)
    broken.clear()
    clock.advance(1)
    assert not heart.failing
    assert [line["log_level"].name for line in lines] == ["error", "info"]
    result_of(heart.stop())


def test_rounds_never_overlap_and_a_stop_waits_for_the_one_that_runs() -> None:
    clock = Clock()
    running: list[Deferred[None]] = []

    def work() -> Deferred[None]:
        running.append(Deferred())
        return running[-1]

    heart = Heartbeat(clock, "looking", work, 1.0)
    heart.start(now=True)
    clock.pump([1.0] * 5)
    assert len(running) == 1
    running[0].callback(None)
    clock.advance(1)
    assert len(running) == 2
    stopped = heart.stop()
    assert unfired(stopped)
    running[1].callback(None)
    assert result_of(stopped) is None
    clock.pump([1.0] * 5)
    assert len(running) == 2


def test_cancelling_the_stop_cancels_the_round() -> None:
    heart = Heartbeat(Clock(), "looking", Deferred, 1.0)
    heart.start(now=True)
    stopped = heart.stop()
    stopped.cancel()
    result_of(stopped)
    assert heart.failures == 0


def test_a_new_interval_counts_from_now() -> None:
    clock = Clock()
    rounds: list[float] = []
    heart = Heartbeat(clock, "looking", lambda: rounds.append(clock.seconds()), 600.0)
    heart.start(now=False)
    clock.advance(100)
    heart.interval = 10.0
    clock.pump([1.0] * 25)
    assert rounds == [110.0, 120.0]
    with pytest.raises(ValueError, match="positive"):
        heart.interval = 0
    result_of(heart.stop())


def test_stopping_what_never_started_is_no_error() -> None:
    result_of(Heartbeat(Clock(), "looking", lambda: None, 1.0).stop())
