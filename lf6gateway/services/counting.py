"""The gateway's side of the limits for one worker: answers whether a request may come in, and counts it. Owns no count
of its own, for there is one for all workers; must never know who a user is."""

from __future__ import annotations

from collections.abc import Callable

from lf6gateway.services.access import Access
from lf6gateway.values.stream import Stream
from lf6gateway.values.wire import May, Message, Used, Verdict


class Counting:
    """See the module.

    :param access: has the counts.
    :param send: passes a message on to the worker.
    """

    def __init__(self, access: Access, send: Callable[[Message], None]) -> None:
        self._access = access
        self._send = send

    def received(self, message: May | Used) -> None:
        """The worker asks, or tells."""
        access = self._access
        if isinstance(message, Used):
            access.count(message.user, message.address, Stream(message.stream), message.size)
        elif message.user is None or message.stream is None:
            exceeded = access.allowance.request_from(message.address, access.clock.seconds())
            self._send(Verdict(message.id, exceeded))
        else:
            exceeded = access.request_of(message.user, message.address, Stream(message.stream), message.size)
            self._send(Verdict(message.id, exceeded))
