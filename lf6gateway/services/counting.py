"""The gateway's side of the limits for one worker: answers whether a request may come in, and counts it. Owns no count
of its own, for there is one for all workers; must never know who a user is."""

from __future__ import annotations

from collections.abc import Callable

from lf6gateway.services.access import Access
from lf6gateway.values.allowance import Exceeded
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
        if isinstance(message, Used):
            self._count(message.user, message.address, Stream(message.stream), message.size)
            return
        exceeded = self._exceeded(message)
        if exceeded is None:
            self._send(Verdict(message.id))
        else:
            self._send(
                Verdict(
                    message.id,
                    exceeded.policy,
                    exceeded.quota,
                    exceeded.window_s,
                    exceeded.left,
                    exceeded.wait_s,
                    exceeded.of_bytes,
                )
            )

    def _exceeded(self, may: May) -> Exceeded | None:
        allowance, now = self._access.allowance, self._access.clock.seconds()
        if may.user is None or may.stream is None:
            return allowance.request_from(may.address, now)
        stream = Stream(may.stream)
        exceeded = allowance.request_of(may.user, now) or allowance.body_of(
            may.user, may.address, stream, may.size, now, self._access.now_s()
        )
        if exceeded is None and may.size:
            self._count(may.user, may.address, stream, may.size)
        return exceeded

    def _count(self, user: str, address: str, stream: Stream, size: int) -> None:
        access = self._access
        access.allowance.count(user, address, stream, size, access.clock.seconds(), access.now_s())
