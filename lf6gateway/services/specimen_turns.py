"""Which specimen goes next. Owns the few that are kept in memory: new ones, a page of the backlog, and those that have
to wait; must never grow with the number of files in the folder, touch a file, or read a clock.

Whatever finds no room here is still in the folder: ``missed`` asks for another walk over it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

MOST_FRESH: Final = 256
MOST_PARKED: Final = 256


@dataclass(slots=True)
class Item:
    """A specimen's file.

    :param fresh: it came in just now, so no earlier process can have begun to ship it.
    :param failures: failures in a row that were its own.
    :param due: not before that moment, in the clock's seconds.
    :param unclear: an earlier attempt may have taken effect.
    :param recoveries: how often the store had come back when it failed last.
    """

    path: str
    fresh: bool = False
    failures: int = 0
    due: float = 0.0
    unclear: bool = False
    recoveries: int | None = None


class Turns:
    """New ones, backlog and parked ones take turns, so that none of them starves another.

    :param most_fresh: how many new ones are remembered.
    :param most_parked: how many that wait after a failure are remembered.
    """

    def __init__(self, most_fresh: int = MOST_FRESH, most_parked: int = MOST_PARKED) -> None:
        self._most_fresh = most_fresh
        self._most_parked = most_parked
        self._fresh: dict[str, Item] = {}
        self._page: deque[str] = deque()
        self._parked: dict[str, Item] = {}
        self._busy: dict[str, Item] = {}
        self._sources = deque((self._take_fresh, self._take_page, self._take_parked))
        self.missed = False
        """A new one found no room, or made none for another; the folder has to be walked again."""
        self.missed_parked = False
        """The same of one that has to wait; there is no hurry."""

    @property
    def held(self) -> int:
        """How many are in memory."""
        return len(self._fresh) + len(self._page) + len(self._parked) + len(self._busy)

    @property
    def busy(self) -> int:
        """How many were taken and have not ended."""
        return len(self._busy)

    @property
    def parked(self) -> int:
        """How many wait after a failure of their own."""
        return len(self._parked)

    @property
    def page_empty(self) -> bool:
        """Whether the next page of the backlog is wanted."""
        return not self._page

    @property
    def next_due(self) -> float | None:
        """The moment at which the first parked one may go."""
        return min((item.due for item in self._parked.values()), default=None)

    def found(self, path: str) -> None:
        """A new one is in the folder."""
        if path in self._busy or path in self._fresh:
            return
        if len(self._fresh) >= self._most_fresh:
            # The one that has waited longest becomes backlog, so that those that come when the store is back after an
            # outage do not have to wait for a walk over all that came in it.
            del self._fresh[next(iter(self._fresh))]
            self.missed = True
        self._fresh[path] = Item(path, fresh=True)

    def page(self, paths: Iterable[str]) -> None:
        """The next ones of the walk over the folder."""
        self._page.extend(paths)

    def take(self, now: float) -> Item | None:
        """The next one, which is busy from then on; ``None`` if none may go now."""
        for _ in range(len(self._sources)):
            source = self._sources[0]
            self._sources.rotate(-1)
            item = source(now)
            if item is not None:
                self._busy[item.path] = item
                return item
        return None

    def ended(self, item: Item) -> None:
        """It is shipped, or needs no more."""
        self._busy.pop(item.path, None)

    def park(self, item: Item, due: float) -> None:
        """It failed, and may go again at ``due``."""
        self._busy.pop(item.path, None)
        if len(self._parked) >= self._most_parked:
            self.missed_parked = True
        else:
            item.due = due
            self._parked[item.path] = item

    def all_due(self) -> None:
        """Let the parked ones go again at once."""
        for item in self._parked.values():
            item.due = 0.0

    def _take_fresh(self, now: float) -> Item | None:
        return self._fresh.pop(next(iter(self._fresh))) if self._fresh else None

    def _take_page(self, now: float) -> Item | None:
        while self._page:
            path = self._page.popleft()
            # The walk also meets those that are known already.
            if path not in self._busy and path not in self._parked and path not in self._fresh:
                return Item(path)
        return None

    def _take_parked(self, now: float) -> Item | None:
        due = [item for item in self._parked.values() if item.due <= now]
        return self._parked.pop(min(due, key=lambda item: item.due).path) if due else None
