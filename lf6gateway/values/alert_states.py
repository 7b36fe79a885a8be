"""From what is so now to what is told, once each: pending, firing, resolved. Owns this machine; must never know what a
rule is about, read a clock, or tell anybody.

A condition that lasts as long as its rule asks fires, once. One that fires is over when it was not so for a while, so
that one which comes and goes is told of once. One that is over before it fires is forgotten."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from lf6gateway.values.alert_rules import Condition

MOST: Final = 200
"""Alerts at the same time; any more are not told, as nobody could read them."""


class State(StrEnum):
    """Where an alert stands."""

    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


@dataclass(slots=True)
class Alert:
    """One condition through time.

    :param since_ns: when it began to be so, nanoseconds since 1970.
    :param since_s: likewise, in seconds of a clock that is never set.
    :param seen_s: when it was so last.
    """

    condition: Condition
    state: State
    since_ns: int
    since_s: float
    seen_s: float


@dataclass(frozen=True, slots=True)
class Event:
    """Something to tell: an alert fires, or is over.

    :param since_ns: when it began to be so.
    :param at_ns: when this was decided.
    """

    condition: Condition
    state: State
    since_ns: int
    at_ns: int


class AlertStates:
    """See the module."""

    def __init__(self) -> None:
        self._alerts: dict[tuple[str, str], Alert] = {}

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """Those that are pending or firing, the oldest first."""
        return tuple(self._alerts.values())

    def decide(self, now_ns: int, now_s: float, conditions: Iterable[Condition], settle_s: float) -> list[Event]:
        """What is to be told, given what is so now.

        :param now_s: seconds of a clock that is never set.
        :param settle_s: seconds for which one must not be so before it is over.
        """
        events: list[Event] = []
        for condition in conditions:
            key = condition.name, condition.subject
            alert = self._alerts.get(key)
            if alert is None:
                if len(self._alerts) >= MOST:
                    continue
                alert = self._alerts[key] = Alert(condition, State.PENDING, now_ns, now_s, now_s)
            alert.condition, alert.seen_s = condition, now_s
            if alert.state is State.PENDING and now_s - alert.since_s >= condition.for_s:
                alert.state = State.FIRING
                events.append(Event(condition, State.FIRING, alert.since_ns, now_ns))
        for key, alert in list(self._alerts.items()):
            if alert.seen_s == now_s:
                continue
            if alert.state is State.PENDING:
                del self._alerts[key]
            elif now_s - alert.seen_s >= settle_s:
                del self._alerts[key]
                events.append(Event(alert.condition, State.RESOLVED, alert.since_ns, now_ns))
        return events
