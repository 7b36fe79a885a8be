"""What the operator's page shows, made once for all who look at the same time. Owns when it is made anew, off the
reactor; must never know a request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from twisted.internet.defer import DeferredLock

from lf6gateway.edges.page import Fragments
from lf6gateway.edges.page_charts import WINDOWS
from lf6gateway.services.watch import Watch
from lf6gateway.values.status import Status

FRESH: Final = 1.0
"""Seconds for which what was made is shown again."""


@dataclass(frozen=True, slots=True)
class View:
    """What was made: the parts of the page by name, and what they were made from."""

    status: Status
    parts: Mapping[str, str]


class Views:
    """See the module."""

    def __init__(self) -> None:
        self._turn = DeferredLock()
        self._fragments = {hours: Fragments(hours) for hours in WINDOWS.values()}
        self._made: dict[int, tuple[float, View]] = {}

    async def of(self, watch: Watch, hours: int) -> View:
        """What is shown now, with charts over so many hours (of ``WINDOWS``)."""
        await self._turn.acquire()
        try:
            now = watch.clock.seconds()
            found = self._made.get(hours)
            if found is None or now - found[0] >= FRESH:
                found = self._made[hours] = (now, await self._anew(watch, hours))
            return found[1]
        finally:
            self._turn.release()

    async def _anew(self, watch: Watch, hours: int) -> View:
        await watch.fresh()
        status, points = watch.status(), watch.points(60 * hours)
        settings = watch.gateway.settings
        links = settings.admin.links and settings.storage is None
        make = self._fragments[hours].of
        return View(status, await watch.parts.decode_threads(lambda: make(status, points, links=links)))
