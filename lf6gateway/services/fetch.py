"""One small document from a URL, by treq. Owns how long that may take and how large it may be; must never know what it
is for."""

from __future__ import annotations

from typing import Any, Final

from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers

TIMEOUT_S: Final = 10.0


class CannotFetch(Exception):
    """A document could not be had; the text says why."""


def fetch(reactor: Any, url: str, largest: int) -> Deferred[bytes]:
    """What is at a URL, if it is there at once (no redirects: who publishes keys says where they are).

    :param largest: bytes; more are refused.
    :raises CannotFetch: through the Deferred: no answer in time, none with status 200, or one too large.
    """
    work = Deferred.fromCoroutine(_fetch(reactor, url, largest))
    return work.addTimeout(TIMEOUT_S, reactor, lambda _, seconds: _late(seconds))


def _late(seconds: float) -> Failure:
    return Failure(CannotFetch(f"no answer within {seconds:.0f} s"))


async def _fetch(reactor: Any, url: str, largest: int) -> bytes:
    pool = HTTPConnectionPool(reactor, persistent=False)
    agent = Agent(reactor, contextFactory=BrowserLikePolicyForHTTPS(), connectTimeout=TIMEOUT_S, pool=pool)
    response = await HTTPClient(agent).get(
        url, headers=Headers({"Accept": ["application/json"]}), allow_redirects=False, unbuffered=True
    )
    body = _Body(largest)
    response.deliverBody(body)
    if response.code != 200:
        body.whole.addErrback(lambda _: None)
        body.give_up()
        raise CannotFetch(f"it answered with status {response.code}")
    return await body.whole


class _Body(Protocol):
    """Gathers an answer's body, up to a size."""

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._parts: list[bytes] = []
        self._size = 0
        self.whole: Deferred[bytes] = Deferred(lambda _: self.give_up())

    def dataReceived(self, data: bytes) -> None:
        """Some of it."""
        self._size += len(data)
        if self._size > self._largest:
            self.give_up()
            self._fail(CannotFetch(f"it is larger than {self._largest} bytes"))
        else:
            self._parts.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Its end, good or bad."""
        if reason.check(ResponseDone, PotentialDataLoss) and not self.whole.called:
            self.whole.callback(b"".join(self._parts))
        else:
            self._fail(CannotFetch(f"the connection was lost: {reason.getErrorMessage()}"))

    def give_up(self) -> None:
        """The rest is not wanted."""
        transport: Any = self.transport
        if transport is not None:
            transport.loseConnection()

    def _fail(self, error: Exception) -> None:
        if not self.whole.called:
            self.whole.errback(error)
