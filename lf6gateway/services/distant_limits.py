"""How much a sender still has, asked by a worker process of the gateway, which counts for all of them. Owns the
questions that are under way; must never let anybody in by itself.

What is asked and not answered yet when the request is given up is taken back once the answer comes."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from twisted.internet.defer import Deferred

from lf6gateway.values.allowance import Exceeded
from lf6gateway.values.stream import Stream
from lf6gateway.values.wire import May, Message, Used, Verdict


class DistantLimits:
    """See the module.

    :param send: passes a message on to the gateway.
    """

    def __init__(self, send: Callable[[Message], None]) -> None:
        self._send = send
        self._ids = itertools.count(1)
        self._asked: dict[int, tuple[Deferred[Exceeded | None], May]] = {}

    def request_from(self, address: str) -> Deferred[Exceeded | None]:
        """Count a request by its address; what it exceeds, if it is one too many."""
        return self._ask(May(next(self._ids), address, None, None, 0))

    def request_of(self, user: str, address: str, stream: Stream, size: int | None) -> Deferred[Exceeded | None]:
        """Count a request by its user, with the bytes that its body has; what it exceeds, if it is too much.

        :param size: ``None``: not told. Only bytes that are told are counted.
        """
        return self._ask(May(next(self._ids), address, user, stream.value, size))

    def count(self, user: str, address: str, stream: Stream, size: int) -> None:
        """Count bytes of a body, or take back negative ones."""
        self._send(Used(address, user, stream.value, size))

    def verdict(self, verdict: Verdict) -> None:
        """The gateway's answer."""
        asked, may = self._asked.pop(verdict.id)
        if not asked.called:
            asked.callback(verdict.exceeded)
        elif verdict.exceeded is None and may.user is not None and may.stream is not None and may.size:
            self.count(may.user, may.address, Stream(may.stream), -may.size)  # whoever asked is gone

    def _ask(self, may: May) -> Deferred[Exceeded | None]:
        asked: Deferred[Exceeded | None] = Deferred()
        self._asked[may.id] = (asked, may)
        self._send(may)
        return asked
