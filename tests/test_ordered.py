"""Services started in order and stopped in the reverse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import globalLogPublisher

from lf6gateway.services.ordered import OrderedService
from tests.deferreds import result_of, unfired


class Part(Service):
    """Notes what happens to it; its start and stop can be made to wait or fail."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self.setName(name)
        self.notes = notes
        self.starting: Deferred[None] | Exception | None = None
        self.stopping: Deferred[None] | Exception | None = None

    def startService(self) -> Any:
        super().startService()
        self.notes.append(f"+{self.name}")
        if isinstance(self.starting, Exception):
            raise self.starting
        return self.starting

    def stopService(self) -> Any:
        super().stopService()
        self.notes.append(f"-{self.name}")
        if isinstance(self.stopping, Exception):
            raise self.stopping
        return self.stopping


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def parts(notes: list[str]) -> list[Part]:
    return [Part(name, notes) for name in "abc"]


@pytest.fixture
def lines() -> Iterator[list[dict[str, Any]]]:
    seen: list[dict[str, Any]] = []

    def observe(event: dict[str, Any]) -> None:
        if event.get("log_namespace") == "lf6gateway.services.ordered":
            seen.append(event)

    globalLogPublisher.addObserver(observe)
    yield seen
    globalLogPublisher.removeObserver(observe)


def test_each_waits_for_the_one_before_it(parts: list[Part], notes: list[str]) -> None:
    parts[0].starting = Deferred()
    parts[2].stopping = Deferred()
    service = OrderedService(parts)
    service.startService()
    assert notes == ["+a"] and unfired(service.started)
    parts[0].starting.callback(None)
    assert notes == ["+a", "+b", "+c"]
    assert result_of(service.started) is None
    stopped = service.stopService()
    assert notes[3:] == ["-c"] and unfired(stopped)
    parts[2].stopping.callback(None)
    assert notes[3:] == ["-c", "-b", "-a"]
    assert result_of(stopped) is None


def test_a_child_may_tell_by_its_attribute_that_it_has_started(notes: list[str]) -> None:
    inner_part = Part("inner", notes)
    inner_part.starting = waiting = Deferred()
    service = OrderedService([OrderedService([inner_part]), Part("outer", notes)])
    service.startService()
    assert notes == ["+inner"]
    waiting.callback(None)
    assert notes == ["+inner", "+outer"]
    result_of(service.started)
    result_of(service.stopService())
    assert notes[2:] == ["-outer", "-inner"]


@pytest.mark.parametrize("later", [False, True])
def test_a_start_that_fails_stops_the_earlier_ones_and_is_told(
    parts: list[Part], notes: list[str], later: bool, lines: list[dict[str, Any]]
) -> None:
    trouble = OSError("no such disk")
    parts[2].starting = Deferred() if later else trouble
    parts[1].stopping = Deferred()
    service = OrderedService(parts)
    service.startService()
    if isinstance(parts[2].starting, Deferred):
        parts[2].starting.errback(trouble)
    assert notes == ["+a", "+b", "+c", "-b"] and unfired(service.started)
    parts[1].stopping.callback(None)
    assert notes[3:] == ["-b", "-a"]
    with pytest.raises(OSError, match="no such disk"):
        result_of(service.started)
    assert "c did not start: no such disk" in lines[0]["log_format"].format(**lines[0])
    result_of(service.stopService())
    assert notes[5:] == []


@pytest.mark.parametrize("later", [False, True])
def test_a_stop_that_fails_is_logged_and_stops_nobody_else(
    parts: list[Part], notes: list[str], later: bool, lines: list[dict[str, Any]]
) -> None:
    trouble = RuntimeError("stuck")
    parts[1].stopping = Deferred() if later else trouble
    service = OrderedService(parts)
    service.startService()
    stopped = service.stopService()
    if isinstance(parts[1].stopping, Deferred):
        parts[1].stopping.errback(trouble)
    result_of(stopped)
    assert notes[3:] == ["-c", "-b", "-a"]
    assert lines[0]["child"] == "b" and lines[0]["log_failure"].value is trouble


def test_a_stop_during_the_start_gives_it_up(parts: list[Part], notes: list[str]) -> None:
    parts[1].starting = Deferred()
    service = OrderedService(parts)
    service.startService()
    result_of(service.stopService())
    assert notes == ["+a", "+b", "-a"]
    assert not unfired(service.started)


def test_whoever_waits_for_a_start_that_is_given_up_is_told(parts: list[Part]) -> None:
    parts[1].starting = Deferred()
    service = OrderedService(parts)
    service.startService()
    told: list[Any] = []
    service.started.addErrback(lambda failure: told.append(failure.type))
    result_of(service.stopService())
    assert told == [CancelledError]


def test_cancelling_the_stop_gives_up_on_one_child_only(
    parts: list[Part], notes: list[str], lines: list[dict[str, Any]]
) -> None:
    parts[2].stopping = Deferred()
    parts[0].stopping = Deferred()
    service = OrderedService(parts)
    service.startService()
    stopped = service.stopService()
    outcome: list[object] = []
    stopped.addBoth(outcome.append)
    stopped.cancel()
    assert notes[3:] == ["-c", "-b", "-a"] and not outcome
    parts[0].stopping.callback(None)
    assert outcome == [None]
    assert lines[0]["child"] == "c"


def test_it_can_be_started_again(parts: list[Part], notes: list[str]) -> None:
    service = OrderedService()
    for part in parts:
        service.add(part)
    for _ in range(2):
        service.startService()
        with pytest.raises(RuntimeError, match="already started"):
            service.add(parts[0])
        result_of(service.started)
        result_of(service.stopService())
    assert notes == ["+a", "+b", "+c", "-c", "-b", "-a"] * 2
