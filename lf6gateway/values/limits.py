"""How much and how long the public port bears with a client. Owns the figures the HTTP edge is given, so that it can be
used without the whole configuration; must never know where they came from."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lf6gateway.values.settings import Settings
from lf6gateway.values.size import KIB, MIB


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, spans in seconds.

    ``max_report``, ``max_batch`` and ``max_specimen`` hold for decoded bodies; ``max_waiting`` is the most that bodies
    of records may take up in memory, all together, before more are refused, and ``max_specimens`` how many specimens
    may come in at the same time. ``min_body_rate`` is the least that a client must send of a body, in bytes a second,
    measured over ``body_timeout``. ``linger`` bounds how long, and ``linger_bytes`` how much, is still read of a body
    that was refused, so that its sender gets to see the answer. ``max_refused`` is how many connections beyond
    ``max_connections`` are told why at the same time; any more are cut without a word.
    """

    max_report: int = MIB
    max_batch: int = 32 * MIB
    max_specimen: int = 256 * MIB
    max_waiting: int = 64 * MIB
    max_specimens: int = 1_000
    max_head: int = 32 * KIB
    max_headers: int = 200
    max_connections: int = 10_000
    max_refused: int = 1_000
    header_timeout: float = 10.0
    body_timeout: float = 30.0
    idle_timeout: float = 75.0
    min_body_rate: float = 32.0
    linger: float = 10.0
    linger_bytes: int = 64 * MIB
    close_timeout: float = 15.0

    def share(self, workers: int) -> Limits:
        """What each of several processes that serve together may take."""
        return replace(
            self,
            max_waiting=-(-self.max_waiting // workers),
            max_connections=-(-self.max_connections // workers),
        )

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """The limits of a configuration."""
        http = settings.http
        return cls(
            max_report=http.max_report,
            max_batch=http.max_batch,
            max_specimen=http.max_specimen,
            max_waiting=settings.spool.max_waiting_bytes,
            max_connections=http.max_connections,
            header_timeout=http.header_timeout.seconds,
            body_timeout=http.body_timeout.seconds,
            idle_timeout=http.idle_timeout.seconds,
        )
