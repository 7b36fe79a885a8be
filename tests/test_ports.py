"""A port that cannot accept rests for a moment instead of trying all the time."""

from __future__ import annotations

from twisted.internet.task import Clock

from lf6gateway.edges.ports import BURST, REST, RestingPort


class FakePort:
    """What a ``tcp.Port`` has; ``waiting`` is how many connections the next attempt gets."""

    def __init__(self) -> None:
        self.sessionno = 0
        self.reading = True
        self.open = True
        self.waiting = 0
        self.attempts = 0
        self.numberAccepts = 100

    def doRead(self) -> None:
        self.attempts += 1
        self.sessionno += self.waiting

    def stopReading(self) -> None:
        self.reading = False

    def startReading(self) -> None:
        self.reading = True

    def stopListening(self) -> None:
        self.open = self.reading = False


def turns(port: FakePort, clock: Clock, count: int) -> None:
    """So many turns of a reactor for which the socket stays readable."""
    for _ in range(count):
        if port.reading:
            port.doRead()
        clock.advance(REST / 10)


def test_without_descriptors_it_tries_ten_times_a_second_and_then_accepts_as_before() -> None:
    """Found by the campaign: Twisted's reserved descriptor was lost, and it tried 45,000 times in some seconds."""
    port, clock = FakePort(), Clock()
    RestingPort(port, clock, kept=False)
    turns(port, clock, 1000)
    assert 80 <= port.attempts <= 101
    clock.advance(REST)
    port.waiting = 3
    port.attempts = 0
    turns(port, clock, 10)
    assert port.attempts == 10 and port.sessionno == 30


def test_a_stop_while_it_rests_is_one() -> None:
    for kept in (False, True):
        port, clock = FakePort(), Clock()
        resting = RestingPort(port, clock, kept=kept)
        port.doRead()
        resting.stopListening()
        assert clock.getDelayedCalls() == []
        assert not port.reading and port.open == kept


def test_a_backlog_is_not_accepted_in_one_turn() -> None:
    port, clock = FakePort(), Clock()
    RestingPort(port, clock, kept=False)
    port.waiting = 1
    for grown in (100, 120, 7):  # Twisted lets it grow with every full turn
        port.numberAccepts = grown
        port.doRead()
        assert port.numberAccepts == min(grown, BURST)
