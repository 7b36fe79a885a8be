"""The gateway and its public port as one service: the port opens last and closes first. Owns that order alone."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.python.failure import Failure

from lf6gateway.edges.descriptors import open_files, within
from lf6gateway.edges.mounting import gateway_resource
from lf6gateway.edges.ports import Bound, listen
from lf6gateway.edges.resources import GatewayResource
from lf6gateway.edges.site import GatewaySite
from lf6gateway.services.gateway import GatewayService
from lf6gateway.services.surroundings import Surroundings
from lf6gateway.values.limits import Limits
from lf6gateway.values.settings import Settings

_log = Logger()


class ListeningGateway(Service):
    """What the daemon runs.

    :param surroundings: what the gateway stands on.
    :param bound: sockets that are bound already.
    :param endpoints: Twisted endpoint strings to listen on as well.
    """

    def __init__(
        self, settings: Settings, *, surroundings: Surroundings, bound: Sequence[Bound], endpoints: Sequence[str]
    ) -> None:
        self.started: Deferred[None] = Deferred()
        self._reactor = surroundings.reactor
        self._bound = bound
        self._endpoints = endpoints
        self._gateway = GatewayService(settings, surroundings=surroundings)
        self._ports: list[IListeningPort] = []
        self._site: GatewaySite | None = None
        self._resource: GatewayResource | None = None
        self._draining: Deferred[None] | None = None

    def claim(self) -> None:
        """See ``GatewayService``."""
        self._gateway.claim()

    def hurry(self) -> None:
        """See ``GatewayService``; requests that are under way get no answer, and count for nothing."""
        self._gateway.hurry()
        if self._draining is not None:
            self._draining.cancel()

    def startService(self) -> None:
        """Start the gateway, then listen; see ``started``."""
        super().startService()
        self._gateway.startService()
        Deferred.fromCoroutine(self._start()).addCallbacks(self.started.callback, self._not_started)

    def _not_started(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self.started.errback(failure)

    async def _start(self) -> None:
        await self._gateway.started
        if not self.running:
            return
        self._resource = gateway_resource(self._gateway)
        self._site = GatewaySite(self._resource, _limits(self._gateway.settings), reactor=self._reactor)
        self._resource.door.set_limits(self._site.limits)
        self._ports = await listen(self._reactor, self._site, self._bound, self._endpoints)

    def reconfigure(self, settings: Settings) -> None:
        """See ``GatewayService``; the limits of requests change with the next one."""
        self._gateway.reconfigure(settings)
        if self._site is not None and self._resource is not None:
            self._site.limits = limits = _limits(settings)
            self._resource.door.set_limits(limits)
            self._resource.door.log_requests = settings.log.level == "debug"

    def stopService(self) -> Deferred[None]:
        """Close the port, answer what is in flight, stop the gateway."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        for port in self._ports:
            await maybeDeferred(port.stopListening)
        deadline = self._gateway.settings.shutdown.deadline.seconds
        begun = self._reactor.seconds()
        if self._site is not None:
            self._draining = self._site.drain()
            try:
                await self._draining.addTimeout(deadline, self._reactor)
            except (CancelledError, TimeoutError):
                _log.warn("{count} requests had not ended when the time was over", count=self._site.connections)
            self._draining = None
        self._gateway.shorten(self._reactor.seconds() - begun)
        await self._gateway.stopService()


def _limits(settings: Settings) -> Limits:
    return within(Limits.of(settings), open_files())
