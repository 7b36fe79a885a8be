"""What is sent next, and what becomes of it. Owns pauses, marks and the figures; must never send anything itself, so
that the threads of one client and the reactor of the other can share it.

The gateway knows an ``Idempotency-Key`` for an hour. A parcel is marked on disk with the moment before it is sent, and
the mark goes only if the answer says that nothing was kept and no earlier attempt was left open; so a parcel sent again
within the hour is kept once, and one that is older is known to be doubtful."""

from __future__ import annotations

import logging
import random as _random
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from lf6gateway.client.answers import Verdict
from lf6gateway.client.events import Event, Statistics
from lf6gateway.client.options import Options
from lf6gateway.client.outbox import Outbox
from lf6gateway.client.parcel import STREAMS, Parcel

_log = logging.getLogger("lf6gateway.client")

KEY_SECONDS: Final = 3540
"""So long after it was first sent a parcel is sent again as if its key were known: an hour, less a minute for the way
and the clock."""
ADOPT_EVERY: Final = 60.0
"""Seconds between two looks at what other processes left behind."""
REFUSED_PAUSE: Final = 5.0
"""Seconds that a stream rests at least when something must be mended first."""


class Pause:
    """Until when something rests."""

    def __init__(self) -> None:
        self.failures = 0
        self.until = 0.0
        self.by_order = 0.0
        """Until when the gateway said so, which no haste shortens."""

    def left(self, now: float) -> float:
        """Seconds."""
        return max(self.until, self.by_order) - now


class Teller:
    """Passes events on, to the log and to the application, and counts them.

    :param told: the application's; what it raises is logged.
    """

    def __init__(self, told: Callable[[Event], object] | None) -> None:
        self._told = told
        self.figures = Statistics()
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        name = {"dropped": "dropped", "set-aside": "set_aside", "doubtful": "doubtful", "lost": "lost"}.get(event.kind)
        if name is not None:
            self.count(**{name: event.records})
        where = f" ({event.path})" if event.path else ""
        _log.warning("%s %s, %d records: %s%s", event.stream, event.kind, event.records, event.detail, where)
        if self._told is not None:
            try:
                self._told(event)
            except Exception:
                _log.exception("the application's told failed with %r", event)

    def count(self, **more: int) -> None:
        """Add to the figures."""
        with self._lock:
            self.figures = replace(
                self.figures, **{name: getattr(self.figures, name) + by for name, by in more.items()}
            )


class Courier:
    """See the module. Its methods block on the disk; one thread at a time calls them, but for ``hurry``."""

    def __init__(
        self,
        outbox: Outbox,
        options: Options,
        told: Teller,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self._outbox = outbox
        self._options = options
        self._told = told
        self._now = now
        self._monotonic = monotonic
        self._random = random
        self._all = Pause()
        self._streams = {stream: Pause() for stream in STREAMS}
        self._refused: dict[str, str] = {}
        self._open_before: set[str] = set()
        self._adopted = monotonic()
        self.everything = False
        """Whether batches are sent without waiting for them to grow."""

    def hurry(self) -> None:
        """Try at once what rests after failures; what the gateway asked to wait for still waits."""
        self._all.until = 0.0
        for pause in self._streams.values():
            pause.until = 0.0

    def next(self) -> Parcel | float | None:
        """What is sent now, marked; or the seconds until there may be something; ``None``: nothing waits."""
        now = self._monotonic()
        if now - self._adopted >= ADOPT_EVERY:
            self._adopted = now
            self._outbox.adopt()
        if self._options.max_age is not None:
            self._outbox.expire(int((self._now() - self._options.max_age) * 1e9))
        left = self._all.left(now)
        if left > 0:
            return left
        resting = {stream: pause.left(now) for stream, pause in self._streams.items() if pause.left(now) > 0}
        while True:
            parcel = self._outbox.take(tuple(resting), everything=self.everything)
            if parcel is None:
                waits = [*resting.values()] if self._outbox.waiting else []
                due = self._outbox.due(tuple(resting))
                return min([*waits, *([] if due is None else [due])], default=None)
            if parcel.since is not None and not -60 <= self._now() - parcel.since < KEY_SECONDS:
                why = "it may have been kept more than an hour ago, and the gateway knows its key no more"
                if self._options.when_doubtful == "set-aside":
                    self._aside(parcel, why, "doubtful")
                    continue
                self._told(Event("doubtful", parcel.stream, self._outbox.records(parcel), f"{why}; it is sent again"))
                parcel = self._outbox.mark(parcel, None)
            if parcel.since is None:
                self._open_before.discard(parcel.key)
                return self._outbox.mark(parcel, int(self._now()))
            self._open_before.add(parcel.key)
            return parcel

    def settle(self, parcel: Parcel, verdict: Verdict) -> None:
        """What became of it."""
        if verdict.kind in ("kept", "never"):
            self._all.failures = self._streams[parcel.stream].failures = 0
            self._refused.pop(parcel.stream, None)
            open_before = parcel.key in self._open_before
            self._open_before.discard(parcel.key)
        if verdict.kind == "kept":
            records = self._outbox.records(parcel)
            self._outbox.sent(parcel)
            self._told.count(sent=records)
        elif verdict.kind == "never":
            self._never(parcel, verdict.detail + (" (an earlier attempt may have been kept)" if open_before else ""))
        else:
            self._again(parcel, verdict)

    def _never(self, parcel: Parcel, why: str) -> None:
        if parcel.stream != "specimen":
            data = self._outbox.body(parcel)
            if data.count(b"\n") > 1:
                self._outbox.split(parcel, data)
                return
        self._aside(parcel, why, "set-aside")

    def _aside(self, parcel: Parcel, why: str, kind: str) -> None:
        records = self._outbox.records(parcel)
        path = self._outbox.set_aside(parcel, why)
        if kind == "doubtful":
            self._told.count(doubtful=records)
        self._told(Event("set-aside", parcel.stream, records, why, path))

    def _again(self, parcel: Parcel, verdict: Verdict) -> None:
        if verdict.certain and parcel.key not in self._open_before:
            self._outbox.mark(parcel, None)
        pause = self._all if verdict.whole else self._streams[parcel.stream]
        pause.failures += 1
        now = self._monotonic()
        most = min(self._options.retry_max, self._options.retry_min * 2.0 ** min(pause.failures - 1, 30))
        least = min(REFUSED_PAUSE, self._options.retry_max) if verdict.kind == "refused" else 0.0
        pause.until = now + max(least, most * (0.5 + 0.5 * self._random()))
        pause.by_order = now + min(verdict.after, self._options.retry_after_max)
        self._told.count(retries=1)
        _log.info("%s is sent again in %.1f s: %s", parcel.stream, pause.left(now), verdict.detail)
        if verdict.kind == "refused" and self._refused.get(parcel.stream) != verdict.detail:
            self._refused[parcel.stream] = verdict.detail
            self._told(Event("refused", parcel.stream, self._outbox.records(parcel), verdict.detail))
