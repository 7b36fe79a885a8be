"""What an operator is alerted of. Owns the rules, their words and their remedies (docs/watching.md explains each);
must never read a clock, nor remember anything: ``values/alert_states.py`` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from lf6gateway.values.settings_alerts import Alerts
from lf6gateway.values.size import format_size
from lf6gateway.values.status import Status
from lf6gateway.values.surges import ALL, Surge

WARNING: Final = "warning"
CRITICAL: Final = "critical"


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is so now.

    :param name: of the rule.
    :param subject: what it is about: a stream, a bucket, a user, or empty.
    :param for_s: seconds that it must last before anybody is told.
    """

    name: str
    subject: str
    severity: str
    summary: str
    remedy: str
    for_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Facts:
    """What is decided on.

    :param intervals_s: how often each stream is shipped, in seconds.
    """

    status: Status
    intervals_s: dict[str, float]
    surges: Sequence[Surge] = ()


def conditions(facts: Facts, terms: Alerts) -> list[Condition]:
    """All that is so now, and whose rule is not switched off."""
    return [found for name, rule in RULES.items() if name not in terms.disabled for found in rule(facts, terms)]


def _waiting(facts: Facts, terms: Alerts) -> Iterator[Condition]:
    slowest = max(facts.intervals_s.values())
    for stream, found in facts.status.streams.items():
        most = terms.oldest_intervals * facts.intervals_s.get(stream, slowest)
        if found.waiting.oldest_s > most:
            yield Condition(
                "records_wait",
                stream,
                CRITICAL,
                f"the oldest record of {stream} has waited for {_span(found.waiting.oldest_s)}, and {_span(most)} is "
                "the most that is usual",
                found.store.remedy
                or "see whether the store answers (store in /status) and whether it keeps up with what comes in; all "
                "of it is safe on disk meanwhile",
                for_s=30.0,
            )


def _store(facts: Facts, terms: Alerts) -> Iterator[Condition]:
    failing: dict[str, list[str]] = {}
    for stream, found in facts.status.streams.items():
        if found.store.failing_s > terms.store_failing.seconds:
            failing.setdefault(found.store.name, []).append(stream)
    for name, streams in failing.items():
        state = max((facts.status.streams[stream].store for stream in streams), key=lambda store: store.failing_s)
        yield Condition(
            "store_failing",
            name,
            CRITICAL,
            f"the store {name} ({', '.join(streams)}) has been failing for {_span(state.failing_s)}: {state.cause}: "
            f"{state.detail}",
            state.remedy or "see whether the store and the network to it work; it is tried again for ever",
        )


def _disk(facts: Facts, terms: Alerts) -> Iterator[Condition]:
    spool = facts.status.spool
    if spool.failing:
        yield Condition(
            "disk_failing",
            "",
            CRITICAL,
            "the disk of cache_dir fails to write; data are refused with 503",
            "look at the kernel's log and at the health of the disk; the gateway tries it again by itself",
            for_s=15.0,
        )
    for what, free, floor in (
        ("bytes", spool.free_bytes, spool.min_free_bytes),
        ("inodes", spool.free_inodes, spool.min_free_inodes),
    ):
        if free is not None and free < floor:
            told = (format_size(free), format_size(floor)) if what == "bytes" else (f"{free} inodes", f"{floor}")
            yield Condition(
                "disk_low",
                what,
                CRITICAL,
                f"the disk of cache_dir has {told[0]} left, and {told[1]} are kept free; data are refused with 503",
                "free the disk of what is not the gateway's, or make it larger; what waits drains by itself",
                for_s=15.0,
            )


def _spool(facts: Facts, terms: Alerts) -> Iterator[Condition]:
    spool = facts.status.spool
    if spool.used_bytes * 100 > terms.spool_percent * spool.max_bytes:
        yield Condition(
            "spool_filling",
            "",
            WARNING,
            f"the spool holds {spool.used_bytes * 100 // spool.max_bytes} % of spool.max_bytes "
            f"({format_size(spool.max_bytes)}); at 100 % data are refused with 503",
            "see why it is not shipped (store in /status), or raise spool.max_bytes where the disk has room",
            for_s=30.0,
        )


def _quarantine(facts: Facts, terms: Alerts) -> Iterator[Condition]:
    found = facts.status.quarantine
    if found.count:
        newest = f"; the newest is {found.items[0].name}: {found.items[0].why}" if found.items else ""
        yield Condition(
            "quarantine",
            "",
            WARNING,
            f"{found.count} files ({found.bytes} bytes) that cannot be read were set aside{newest}",
            "look at them and the notes beside them in cache_dir/quarantine, keep or rescue what is of worth, and move "
            "them away; damage means a disk or memory that fails",
        )


def _surges(facts: Facts, terms: Alerts) -> Iterator[Condition]:
    for surge in facts.surges:
        who = "all users" if surge.user == ALL else f"the user {surge.user}"
        yield Condition(
            "error_surge",
            surge.user,
            WARNING,
            f"{who} sent {surge.count} error reports in ten minutes, where {surge.usual:.0f} are usual",
            "see what the reports say (a release that went wrong?), or limit the user (limits.user_requests)",
        )


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


Rule = Callable[[Facts, Alerts], Iterator[Condition]]
RULES: Final[dict[str, Rule]] = {
    "records_wait": _waiting,
    "store_failing": _store,
    "disk": _disk,
    "spool_filling": _spool,
    "quarantine": _quarantine,
    "error_surge": _surges,
}
"""By the names that ``alerts.disabled`` takes; ``disk`` stands for ``disk_failing`` and ``disk_low``."""
