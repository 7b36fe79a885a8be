"""What one process that serves the public port has seen of requests and connections. Owns these counts, and how those
of several processes become one; must never know who sent anything, nor cost a request more than a microsecond."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec

from lf6gateway.values.histogram import SECONDS, Histogram

OTHER: Final = "other"
"""Stands for a stream where a request is for none: /health, /ready, and paths that are not there."""


class Answered:
    """The requests of one stream that were answered with one status; ``bytes`` of their bodies, as they were sent."""

    __slots__ = ("bytes", "seconds")

    def __init__(self) -> None:
        self.bytes = 0
        self.seconds = Histogram(SECONDS)


class AnsweredMore(msgspec.Struct, frozen=True, array_like=True):
    """What an ``Answered`` has grown by."""

    stream: str
    status: int
    bytes: int
    counts: list[int]
    seconds: float


class TrafficMore(msgspec.Struct, frozen=True, array_like=True):
    """What a ``Traffic`` has grown by since it was last asked."""

    answered: list[AnsweredMore]
    aborted: dict[str, int]
    problems: dict[str, int]
    refused: dict[str, int]
    accepted: int


class Traffic:
    """See the module.

    :param seconds: seconds from any beginning, never backwards.
    """

    __slots__ = ("aborted", "accepted", "answers", "problems", "refused", "seconds")

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.seconds = seconds
        self.answers: dict[tuple[str, int], Answered] = {}
        """By stream (or ``OTHER``) and status."""
        self.aborted: Counter[str] = Counter()
        """Requests whose sender went before the answer, by stream."""
        self.problems: Counter[str] = Counter()
        """Requests that were answered with a problem, by its name; also those that came to no endpoint."""
        self.refused: Counter[str] = Counter()
        """Connections that were turned away or made way for others, by reason."""
        self.accepted = 0
        """Connections that were had."""

    def answered(self, stream: str, status: int, begun: float, size: int) -> None:
        """A request has its answer.

        :param begun: when its head was complete.
        :param size: of its body, as far as it came.
        """
        found = self.answers.get((stream, status))
        if found is None:
            found = self.answers[stream, status] = Answered()
        found.bytes += size
        found.seconds.observe(self.seconds() - begun)

    def take(self) -> TrafficMore:
        """What has come since the last call; counts begin anew from nothing."""
        answers, self.answers = self.answers, {}
        more = TrafficMore(
            [
                AnsweredMore(stream, status, one.bytes, one.seconds.counts, one.seconds.sum)
                for (stream, status), one in answers.items()
            ],
            dict(self.aborted),
            dict(self.problems),
            dict(self.refused),
            self.accepted,
        )
        self.aborted, self.problems, self.refused = Counter(), Counter(), Counter()
        self.accepted = 0
        return more

    def add(self, more: TrafficMore) -> None:
        """What another process has seen."""
        for one in more.answered:
            found = self.answers.get((one.stream, one.status))
            if found is None:
                found = self.answers[one.stream, one.status] = Answered()
            found.bytes += one.bytes
            found.seconds.add(one.counts, one.seconds)
        self.aborted.update(more.aborted)
        self.problems.update(more.problems)
        self.refused.update(more.refused)
        self.accepted += more.accepted
