"""Each alert is told once when it fires and once when it is over, whatever comes and goes in between."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lf6gateway.values.alert_rules import Condition
from lf6gateway.values.alert_states import MOST, AlertStates, Event, State

S = 1_000_000_000


def condition(name: str = "a", subject: str = "", for_s: float = 0.0, summary: str = "so") -> Condition:
    return Condition(name, subject, "warning", summary, "mend it", for_s)


class Told:
    """Decides at moments given in seconds, and notes what is told."""

    def __init__(self) -> None:
        self.states = AlertStates()

    def at(self, second: float, *found: Condition, settle: float = 60.0) -> list[tuple[str, State]]:
        events: list[Event] = self.states.decide(int(second * S), second, found, settle)
        return [(event.condition.name, event.state) for event in events]


def test_it_fires_at_once_and_once() -> None:
    told = Told()
    assert told.at(0, condition()) == [("a", State.FIRING)]
    assert told.at(5, condition(summary="still so")) == []
    assert told.states.alerts[0].condition.summary == "still so"


def test_it_is_pending_for_as_long_as_the_rule_asks() -> None:
    told = Told()
    assert told.at(0, condition(for_s=30)) == []
    assert told.states.alerts[0].state is State.PENDING
    assert told.at(29, condition(for_s=30)) == []
    assert told.at(30, condition(for_s=30)) == [("a", State.FIRING)]


def test_what_is_over_before_it_fires_is_forgotten() -> None:
    told = Told()
    told.at(0, condition(for_s=30))
    assert told.at(10) == [] and told.states.alerts == ()
    assert told.at(20, condition(for_s=30)) == []
    assert told.at(40, condition(for_s=30)) == []


def test_it_is_over_when_it_was_not_so_for_a_while() -> None:
    told = Told()
    told.at(0, condition())
    assert told.at(30) == []
    assert told.at(40, condition()) == []  # it comes and goes
    assert told.at(99) == []
    assert told.at(100) == [("a", State.RESOLVED)]
    assert told.at(105) == []
    assert told.at(110, condition()) == [("a", State.FIRING)]


def test_subjects_are_alerts_of_their_own() -> None:
    told = Told()
    assert len(told.at(0, condition(subject="usage"), condition(subject="error"))) == 2
    assert told.at(60, condition(subject="usage")) == [("a", State.RESOLVED)]


def test_there_are_never_too_many() -> None:
    told = Told()
    assert len(told.at(0, *(condition(subject=str(n)) for n in range(MOST + 50)))) == MOST


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 100)), max_size=60), st.integers(0, 50), st.integers(0, 100))
def test_firing_and_over_take_turns(steps: list[tuple[bool, int]], for_s: int, settle: int) -> None:
    told, second, events = Told(), 0, []
    for so, seconds in steps:
        second += seconds
        events += told.at(second, *([condition(for_s=for_s)] if so else []), settle=settle)
    assert events == [("a", State.FIRING if n % 2 == 0 else State.RESOLVED) for n in range(len(events))]
