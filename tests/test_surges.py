"""What is usual is learnt, a surge is seen, and does not become usual by itself."""

from __future__ import annotations

from lf6gateway.values.entry import Entry
from lf6gateway.values.surges import ALL, MOST, Surges
from lf6gateway.values.volumes import MINUTE_NS

START = 29_000_000 * MINUTE_NS


class Sender:
    def __init__(self) -> None:
        self.surges = Surges(10, 100)
        self.minute = 0
        self.surges.turn(START)

    def pass_minutes(self, minutes: int, **counts: int) -> None:
        for _ in range(minutes):
            now = START + self.minute * MINUTE_NS
            self.surges.turn(now)
            entries = [Entry(now, user, b"{}\n" * count, count, None, "r") for user, count in counts.items()]
            self.surges.records(entries, now)
            self.minute += 1
        self.surges.turn(START + self.minute * MINUTE_NS)

    def found(self) -> dict[str, int]:
        return {surge.user: surge.count for surge in self.surges.found()}


def test_nothing_is_said_while_nobody_knows_what_is_usual() -> None:
    sender = Sender()
    sender.pass_minutes(30, alice=1)
    sender.pass_minutes(10, alice=1000)
    assert sender.found() == {}


def test_a_surge_of_one_and_of_all() -> None:
    sender = Sender()
    sender.pass_minutes(120, alice=10, bob=10)
    assert sender.found() == {}
    sender.pass_minutes(5, alice=10, bob=150)
    assert sender.found() == {}  # 800 of bob's, of whom 100 are usual
    sender.pass_minutes(3, alice=10, bob=300)
    found = sender.found()
    assert set(found) == {"bob"}  # of all, 200 are usual
    sender.pass_minutes(1, alice=10, bob=1000)
    assert set(sender.found()) == {"bob", ALL}


def test_it_is_over_when_they_are_few_again() -> None:
    sender = Sender()
    sender.pass_minutes(120, alice=10)
    sender.pass_minutes(5, alice=1000)
    assert "alice" in sender.found()
    sender.pass_minutes(11, alice=10)
    assert sender.found() == {}


def test_a_surge_that_lasts_does_not_become_usual_at_once() -> None:
    sender = Sender()
    sender.pass_minutes(120, alice=10)
    sender.pass_minutes(20, alice=5000)
    assert "alice" in sender.found()
    assert sender.surges.found()[0].usual < 300


def test_somebody_new_is_held_to_the_least_alone() -> None:
    sender = Sender()
    sender.pass_minutes(63, alice=1)
    sender.pass_minutes(4, carol=20)
    assert sender.found() == {}
    sender.pass_minutes(1, carol=20)
    assert sender.found() == {"carol": 100, ALL: 105}


def test_no_number_of_users_makes_it_grow() -> None:
    sender = Sender()
    for start in range(3):
        sender.pass_minutes(11, **{f"u{start}-{number}": 1 for number in range(4 * MOST)})
    assert len(sender.surges._usual) <= 2 * MOST + 1
    assert all(len(users) <= 2 * MOST for _, _, users in sender.surges._minutes)
