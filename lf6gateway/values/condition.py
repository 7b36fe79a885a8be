"""How a gateway fares, in one word and the reasons for it, from its ``Status``. Owns the judgement that the operator's
page opens with; must never fire anything: alerts have rules and a memory of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from lf6gateway.values.readable import amount, part, plural, span
from lf6gateway.values.status import Status

_FULL: Final = 0.8
"""The part of the spool from which on it is worth a word."""

_TOLD: Final = frozenset({"store_failing", "disk_failing", "spool_filling", "quarantine"})
"""Alerts of what has a reason of its own here, from its first moment on."""


class Level(Enum):
    """How bad it is."""

    WELL = "well"
    ATTENTION = "attention"
    TROUBLE = "trouble"


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that is not as it should be, and what to do about it; empty: time mends it."""

    level: Level
    what: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Condition:
    """See the module.

    :param title: the state in a few words.
    """

    level: Level
    title: str
    reasons: tuple[Reason, ...]


def condition(status: Status) -> Condition:
    """How it fares."""
    reasons = tuple(sorted(_reasons(status), key=lambda reason: reason.level is not Level.TROUBLE))
    level = Level.WELL
    if reasons:
        level = Level.TROUBLE if any(one.level is Level.TROUBLE for one in reasons) else Level.ATTENTION
    if not status.ready.ready:
        words = {"draining": "Stopping: shipping what is left", "starting": "Starting"}
        title = words.get(status.ready.reason or "", "No data are taken")
    elif any(one.store.failing_s > 0 for one in status.streams.values()):
        title = "Data are taken, and wait on disk"
    elif level is Level.WELL:
        title = "Data are taken and shipped"
    else:
        title = "Data are taken and shipped; something needs a look"
    return Condition(level, title, reasons)


def _reasons(status: Status) -> Iterator[Reason]:
    ready = status.ready
    if not ready.ready:
        mild = ready.reason in ("draining", "starting")
        yield Reason(Level.ATTENTION if mild else Level.TROUBLE, f"Not ready ({ready.reason}): {ready.detail}")
    if status.spool.failing:
        yield Reason(
            Level.TROUBLE,
            "The last write to the spool's disk failed",
            "see the errors below and the system's log; data are refused meanwhile, none is lost",
        )
    yield from _stores(status)
    spool = status.spool
    if spool.max_bytes and spool.used_bytes >= _FULL * spool.max_bytes:
        yield Reason(
            Level.ATTENTION,
            f"The spool is {part(spool.used_bytes / spool.max_bytes)} full; {amount(spool.left_bytes)} are still taken",
            "see to it that the store works, or raise spool.max_bytes",
        )
    if status.quarantine.count:
        yield Reason(
            Level.ATTENTION,
            f"{plural(status.quarantine.count, 'file')} in quarantine, {amount(status.quarantine.bytes)}",
            "look at what they are, further down; nothing else is held up by them",
        )
    for alert in status.alerts:
        if alert.state == "firing" and alert.name not in _TOLD:
            level = Level.TROUBLE if alert.severity == "critical" else Level.ATTENTION
            about = f" ({alert.subject})" if alert.subject else ""
            yield Reason(level, f"Alert {alert.name}{about}: {alert.summary}", alert.remedy)


def _stores(status: Status) -> Iterator[Reason]:
    """Stores that fail; streams that share one, and its trouble, are told together."""
    failing: dict[tuple[str, str | None], list[str]] = {}
    for name, stream in status.streams.items():
        if stream.store.failing_s > 0:
            failing.setdefault((stream.store.name, stream.store.cause), []).append(name)
    for (store, _), names in failing.items():
        states = [status.streams[name].store for name in names]
        worst = max(states, key=lambda state: state.failing_s)
        waiting = ", ".join(names)
        yield Reason(
            Level.TROUBLE,
            f"The store {store} has failed for {span(worst.failing_s)} ({waiting}): {worst.detail or worst.cause}",
            worst.remedy or "nothing: it is tried again and again, and data wait on disk",
        )
