"""The public port's factory: its connections, how many there may be, and their orderly end. Owns the set of them; must
never know what is said on one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.web.http import Request
from twisted.web.resource import IResource
from twisted.web.server import Site

from lf6gateway.edges import problems
from lf6gateway.edges.channel import GatewayChannel
from lf6gateway.edges.connection import Connection
from lf6gateway.edges.crowding import dispensable
from lf6gateway.edges.request import GatewayRequest
from lf6gateway.values.limits import Limits
from lf6gateway.values.problem import Problem
from lf6gateway.values.traffic import Traffic

_LOOK_AGAIN: Final = 0.25
"""Seconds until it is looked again who could make way, after nobody could."""


Channel = Literal["auto", "httptools", "twisted"]


class ChannelMissing(Exception):
    """The channel asked for is not installed; the text says what to do."""


def channel_maker(channel: Channel) -> Callable[[], Connection]:
    """What makes the channels of that name.

    :raises ChannelMissing: httptools is asked for, and not installed.
    """
    if channel != "twisted":
        try:
            from lf6gateway.edges.llhttp_channel import LlhttpChannel
        except ImportError as error:
            if channel == "httptools":
                raise ChannelMissing(
                    f"http.channel: httptools cannot be used: {error}; install it (it is in lf6gateway[speed]), or "
                    "set http.channel to auto or twisted"
                ) from error
        else:
            return LlhttpChannel
    return GatewayChannel


class GatewaySite(Site):
    """Serves a tree of resources over HTTP/1.1.

    :param resource: the root; a ``gateway_resource``, or a tree with one somewhere in it.
    :param limits: may be replaced while it serves; then holds for what comes in from then on.
    :param reactor: for the time-outs.
    :param channel: who reads HTTP: llhttp by way of ``httptools``, ``twisted``'s own parser, or ``auto``: the first of
        these that is installed.
    :raises ChannelMissing: httptools is asked for, and not installed.
    """

    protocol = GatewayChannel  # type: ignore[assignment]

    def __init__(
        self,
        resource: IResource,
        limits: Limits,
        *,
        reactor: IReactorTime | None = None,
        channel: Channel = "auto",
    ) -> None:
        super().__init__(
            resource, requestFactory=GatewayRequest, timeout=None, reactor=reactor, parsePOSTFormSubmission=False
        )
        self.limits = limits
        self.certified = False
        """Whether clients' certificates name users."""
        self.draining = False
        self.traffic: Traffic | None = None
        """Counts connections, and what is refused before it comes to an endpoint."""
        self._new_channel = channel_maker(channel)
        self._channels: set[Connection] = set()
        self._refused: set[Connection] = set()
        self._drained: list[Deferred[None]] = []
        self._look_at = 0.0

    @property
    def connections(self) -> int:
        """How many connections there are."""
        return len(self._channels)

    def buildProtocol(self, address: IAddress | None) -> Any:
        """A channel for a new connection."""
        return self._equipped(self._new_channel())

    def _equipped(self, channel: Any) -> Any:
        channel.factory = self
        channel.site = self
        channel.requestFactory = self.requestFactory
        return channel

    def acceptableProtocols(self) -> list[bytes]:
        """What TLS may agree on: HTTP/2 would not come by the channel that all the limits are in."""
        return [b"http/1.1"]

    def startFactory(self) -> None:
        """Nothing to open: there is no access log besides the debug lines."""

    def stopFactory(self) -> None:
        """Nothing to close."""

    def log(self, request: Request) -> None:
        """The exchange logs its requests itself."""

    def drain(self) -> Deferred[None]:
        """Take no further request on any connection; fires when all of them are answered and closed."""
        self.draining = True
        for channel in list(self._channels | self._refused):
            channel.drain()
        done: Deferred[None] = Deferred()
        self._drained.append(done)
        self._look_whether_drained()
        return done

    def cut(self) -> None:
        """End every connection now; what is under way on one gets no answer."""
        for channel in list(self._channels | self._refused):
            channel.cut()

    # What channels call.

    def connected(self, channel: Connection) -> Problem | None:
        """A connection has come; the reason, if it cannot be had."""
        if channel in self._channels:
            return None
        if self.draining:
            problem = problems.draining()
        elif len(self._channels) >= self.limits.max_connections and not self._make_room():
            problem = problems.too_many_connections()
        else:
            self._channels.add(channel)
            if self.traffic is not None:
                self.traffic.accepted += 1
            return None
        self._count(problem.name)
        self._refused.add(channel)
        return problem

    def refused(self, problem: Problem) -> None:
        """Something is answered with a problem before it comes to an endpoint."""
        if self.traffic is not None:
            self.traffic.problems[problem.name] += 1

    def cut_off(self) -> None:
        """A connection is not even told why it is refused."""
        self._count("crowded")

    def _count(self, reason: str) -> None:
        if self.traffic is not None:
            self.traffic.refused[reason] += 1

    def handed_over(self, channel: Connection) -> Any:
        """A channel of twisted.web's that takes the place of another, whose connection it goes on with."""
        successor = self._equipped(GatewayChannel())
        self._channels.remove(channel)
        self._channels.add(successor)
        return successor

    def crowded(self) -> bool:
        """Whether even refusing is too much now."""
        return len(self._refused) > self.limits.max_refused

    def _make_room(self) -> bool:
        now = self.reactor.seconds()
        if now < self._look_at:
            return False
        for channel in dispensable(self._channels, now, max(1, self.limits.max_connections // 100)):
            self._channels.discard(channel)
            self._refused.add(channel)
            self._count("made_way")
            channel.make_way()
        if len(self._channels) < self.limits.max_connections:
            return True
        self._look_at = now + _LOOK_AGAIN
        return False

    def disconnected(self, channel: Connection) -> None:
        """A connection is gone."""
        self._channels.discard(channel)
        self._refused.discard(channel)
        self._look_whether_drained()

    def _look_whether_drained(self) -> None:
        if self.draining and not self._channels:
            done, self._drained = self._drained, []
            for one in done:
                one.callback(None)
