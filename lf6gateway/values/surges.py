"""Whether somebody reports far more errors than usual. Owns what is usual, learnt in bounded memory; must never read a
clock.

What is counted are records of the error stream in the last ten minutes, of each user and of all together. Usual is
their mean over some hours, in which a surge counts no more than it takes to be one: so it does not become usual by
itself. Nothing is said in the first hour, while nobody knows what is usual."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from lf6gateway.values.entry import Entry
from lf6gateway.values.heavy import Heavy
from lf6gateway.values.volumes import MINUTE_NS

WINDOW: Final = 10
"""Minutes that are counted."""
LEARNT: Final = 6
"""So many windows must be over before anything is said."""
MOST: Final = 500
"""Users that are told apart in a minute; of whom what is usual is kept, twice as many."""
_WEIGHT: Final = 1 / 36
"""Of the last window in what is usual: a mean over six hours, about."""
ALL: Final = ""
"""Stands for all users together; none is called so."""


@dataclass(frozen=True, slots=True)
class Surge:
    """More than usual. ``user`` is ``ALL`` for all together; ``count`` and ``usual`` are records in ten minutes."""

    user: str
    count: int
    usual: float


class Surges:
    """See the module. The two may be changed at any time.

    :param factor: so many times the usual is a surge.
    :param least: fewer records are none.
    """

    def __init__(self, factor: float, least: int) -> None:
        self.factor = factor
        self.least = least
        self._minute = 0
        self._windows = 0
        self._now = Heavy(MOST)
        self._total = 0
        self._minutes: deque[tuple[int, int, Heavy]] = deque()
        self._usual: dict[str, float] = {}
        self._due = 0

    def records(self, entries: Sequence[Entry], now_ns: int) -> None:
        """Error reports are acknowledged."""
        self.turn(now_ns)
        for entry in entries:
            self._now.add(entry.user, 1, entry.count, entry.count)
            self._total += entry.count

    def turn(self, now_ns: int) -> None:
        """It is that moment now; what is usual is learnt by the way."""
        minute = now_ns // MINUTE_NS
        if minute <= self._minute:
            return
        if not self._minute:
            self._due = minute + WINDOW
        else:
            self._minutes.append((self._minute, self._total, self._now.smaller(MOST)))
            self._now, self._total = Heavy(MOST), 0
        while self._minutes and self._minutes[0][0] < minute - WINDOW:
            self._minutes.popleft()
        if minute >= self._due:
            self._learn()
            self._due = minute + WINDOW
        self._minute = minute

    def found(self) -> list[Surge]:
        """Who has sent far more than usual in the last ten minutes; the largest first, behind all together."""
        if self._windows < LEARNT:
            return []
        return [
            Surge(user, count, self._usual.get(user, 0.0))
            for user, count in self._counts()
            if count >= self.least and count > self.factor * self._usual.get(user, 0.0)
        ]

    def _counts(self) -> list[tuple[str, int]]:
        whole = Heavy(2 * MOST)
        total = self._total
        for _, count, users in self._minutes:
            total += count
            whole.merge(users)
        whole.merge(self._now)
        return [(ALL, total), *((user, volume.records) for user, volume in whole.top(2 * MOST))]

    def _learn(self) -> None:
        """A window is over: it becomes part of what is usual."""
        counts = dict(self._counts())
        self._windows += 1
        weight = max(_WEIGHT, 1 / self._windows)  # the first ones count in full
        usual = {}
        for user in {*self._usual, *counts}:
            before = self._usual.get(user, 0.0)
            count = float(counts.get(user, 0))
            if self._windows > LEARNT:
                count = min(count, max(self.factor * before, self.least))
            usual[user] = before + weight * (count - before)
        kept = sorted(usual.items(), key=lambda item: (item[0] != ALL, -item[1]))[: 2 * MOST + 1]
        self._usual = {user: value for user, value in kept if value >= 0.5 or user == ALL}
