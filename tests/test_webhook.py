"""An alert is sent until it is taken, one after the other, and whatever becomes of it holds nobody up."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock

from lf6gateway.services.webhook import MOST, TIMEOUT, Webhook
from tests.deferreds import result_of

URL = "https://hooks.example/services/T0/SECRET"


class Receiver:
    """Notes what it was sent; each request is answered when the test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes, Deferred[int]]] = []

    def post(self, url: str, body: bytes) -> Deferred[int]:
        answer: Deferred[int] = Deferred()
        self.asked.append((url, body, answer))
        return answer

    def answer(self, outcome: Any) -> None:
        answer = self.asked[-1][2]
        answer.errback(outcome) if isinstance(outcome, Exception) else answer.callback(outcome)

    @property
    def bodies(self) -> list[bytes]:
        return [body for _, body, _ in self.asked]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def webhook(clock: Clock, receiver: Receiver) -> Webhook:
    made = Webhook(clock, receiver.post, random=lambda: 0.999)
    made.url = URL
    made.startService()
    return made


def test_they_go_one_after_the_other(webhook: Webhook, receiver: Receiver) -> None:
    webhook.send(b"1")
    webhook.send(b"2")
    assert receiver.bodies == [b"1"]
    receiver.answer(200)
    assert receiver.bodies == [b"1", b"2"]
    receiver.answer(204)
    assert webhook.waiting == 0 and webhook.outcomes == {"sent": 2}
    webhook.send(b"3")
    assert receiver.bodies[-1] == b"3"


@pytest.mark.parametrize("outcome", [500, 503, 429, 408, ConnectionRefusedError("no"), RuntimeError("odd")])
def test_what_passes_is_tried_again_with_pauses_that_grow(
    webhook: Webhook, receiver: Receiver, clock: Clock, outcome: Any
) -> None:
    webhook.send(b"1")
    for pause in (1.0, 2.0, 4.0):
        receiver.answer(outcome)
        asked = len(receiver.asked)
        clock.advance(pause * 0.9)
        assert len(receiver.asked) == asked
        clock.advance(pause * 0.1)
        assert len(receiver.asked) == asked + 1
    receiver.answer(200)
    assert webhook.outcomes == {"failed": 3, "sent": 1} and set(receiver.bodies) == {b"1"}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_what_does_not_pass_is_dropped_and_the_next_one_goes(webhook: Webhook, receiver: Receiver, status: int) -> None:
    webhook.send(b"1")
    webhook.send(b"2")
    receiver.answer(status)
    assert receiver.bodies == [b"1", b"2"] and webhook.outcomes == {"dropped": 1}


def test_no_answer_is_a_failure_too(webhook: Webhook, receiver: Receiver, clock: Clock) -> None:
    webhook.send(b"1")
    clock.advance(TIMEOUT)
    assert webhook.outcomes == {"failed": 1}
    clock.advance(1.0)
    assert receiver.bodies == [b"1", b"1"]


def test_never_too_many_wait(webhook: Webhook, receiver: Receiver) -> None:
    for number in range(MOST + 10):
        webhook.send(b"%d" % number)
    assert webhook.waiting == MOST and webhook.outcomes == {"dropped": 10}
    receiver.answer(200)  # the first, which was given up meanwhile
    assert receiver.bodies[-1] == b"10"


def test_a_stop_waits_for_nobody(webhook: Webhook, receiver: Receiver, clock: Clock) -> None:
    webhook.send(b"1")
    result_of(webhook.stopService())
    assert receiver.asked[0][2].called
    webhook.send(b"2")
    assert receiver.bodies == [b"1"] and not clock.getDelayedCalls()


def test_without_a_url_nothing_is_kept(webhook: Webhook, receiver: Receiver) -> None:
    webhook.url = None
    webhook.send(b"1")
    assert webhook.waiting == 0 and not receiver.asked


def test_the_url_is_in_no_line_of_the_log(
    webhook: Webhook, receiver: Receiver, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    from twisted.logger import globalLogPublisher

    events: list[Any] = []
    globalLogPublisher.addObserver(events.append)
    try:
        webhook.send(b"1")
        receiver.answer(RuntimeError(f"cannot post to {URL}"))
        clock.advance(1)
        receiver.answer(404)
    finally:
        globalLogPublisher.removeObserver(events.append)
    assert len(events) == 2 and "SECRET" not in repr(events)
