"""The gateway and its public port as one service: the port opens last and closes first. Owns that order alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from lf6gateway.edges.admin import AdminListener, AdminSocket
from lf6gateway.edges.around import Around
from lf6gateway.edges.crew import Crew
from lf6gateway.edges.descriptors import limits_of
from lf6gateway.edges.guard import set_guard
from lf6gateway.edges.mounting import gateway_resource
from lf6gateway.edges.ports import Bound, hold, listen, plain_host, tell
from lf6gateway.edges.resources import GatewayResource
from lf6gateway.edges.site import GatewaySite
from lf6gateway.services.front import WorkerSeen
from lf6gateway.services.gateway import GatewayService
from lf6gateway.services.surroundings import Surroundings
from lf6gateway.values.networks import is_loopback
from lf6gateway.values.settings import Settings

_log = Logger()


class ListeningGateway(Service):
    """What the daemon runs.

    :param surroundings: what the gateway stands on.
    :param bound: sockets that are bound already.
    :param endpoints: Twisted endpoint strings to listen on as well.
    :param admin: where operators are answered.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        surroundings: Surroundings,
        bound: Sequence[Bound],
        endpoints: Sequence[str],
        admin: AdminSocket | None = None,
    ) -> None:
        self.started: Deferred[None] = Deferred()
        self._reactor = surroundings.reactor
        self._bound = bound
        self._endpoints = endpoints
        self._gateway = GatewayService(settings, surroundings=surroundings)
        self._ports: list[Any] = []
        self._crew: Crew | None = None
        self._hurried = False
        self._site: GatewaySite | None = None
        self._around: Around | None = None
        self._resource: GatewayResource | None = None
        self._draining: Deferred[None] | None = None
        self._hosts: list[Any] = []
        self._gateway.front = self
        self.admin = AdminListener(self._gateway, admin or AdminSocket())
        """The operators' listener, which opens before the public port and closes behind all else."""

    def claim(self) -> None:
        """See ``GatewayService``."""
        self._gateway.claim()

    def hurry(self) -> None:
        """See ``GatewayService``; requests that are under way get no answer, and count for nothing."""
        self._hurried = True
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
        await self.admin.open(self._reactor)
        at_start = self._gateway.at_start
        workers = at_start.processes(len(os.sched_getaffinity(0)))
        if workers > 1:
            await self._try(at_start)
            await self._with_workers(workers)
        else:
            self._resource = gateway_resource(self._gateway)
            limits = limits_of(self._gateway.settings)
            self._site = GatewaySite(self._resource, limits, reactor=self._reactor, channel=at_start.http.channel)
            self._site.traffic = self._gateway.traffic
            self._resource.door.set_limits(self._site.limits)
            self._around = around = Around(
                at_start,
                lambda: self._gateway.settings.http.trusted_proxies,
                clock=self._reactor,
                offload=self._gateway.assembly.decode_threads,
            )
            await around.start()
            self._site.certified = around.certified
            self._ports = await listen(self._reactor, self._site, self._bound, self._endpoints, around.factory)
            self._tell([port.getHost() for port in self._ports])

    async def _try(self, settings: Settings) -> None:
        """See whether the workers can speak TLS, for one that cannot would be replaced by another that cannot."""
        trusted = settings.http.trusted_proxies
        around = Around(settings, lambda: trusted, clock=self._reactor, offload=self._gateway.assembly.decode_threads)
        await around.start()
        await around.stop()

    async def _with_workers(self, count: int) -> None:
        self._ports = await hold(self._reactor, self._endpoints)
        sockets = [(one.socket.fileno(), int(one.family), "tcp") for one in self._bound]
        kinds = [text.partition(":")[0] for text in self._endpoints]
        ports = zip(self._ports, kinds, strict=True)
        sockets += [(port.fileno(), int(port.addressFamily), kind) for port, kind in ports]
        self._crew = Crew(self._gateway, count=count, sockets=sockets, reactor=self._reactor)
        self._crew.startService()
        await self._crew.started
        self._tell([*(one.address for one in self._bound), *(port.getHost() for port in self._ports)])

    def _tell(self, hosts: Sequence[Any]) -> None:
        self._hosts = list(hosts)
        tell(hosts)
        self._warn_if_open(hosts)

    def _warn_if_open(self, hosts: Sequence[object]) -> None:
        reached = open_to(self._gateway.at_start, hosts)
        if reached:
            _log.warn(
                "auth.mode is open, and the port is not on this machine's loopback alone ({addresses}): whoever "
                "reaches it can send under any user's name; set auth.mode to tokens or jwt, or see to it that only "
                "those who may send reach it",
                addresses=", ".join(reached),
            )

    # What is known of the port, see ``Front``.

    @property
    def addresses(self) -> Sequence[str]:
        """See ``Front``."""
        return [plain_host(host) for host in self._hosts]

    @property
    def connections(self) -> int:
        """See ``Front``."""
        if self._crew is not None:
            return sum(worker.connections for worker in self._crew.seen)
        return 0 if self._site is None else self._site.connections

    @property
    def workers(self) -> Sequence[WorkerSeen]:
        """See ``Front``."""
        return () if self._crew is None else self._crew.seen

    @property
    def worker_deaths(self) -> int:
        """See ``Front``."""
        return 0 if self._crew is None else self._crew.deaths

    @property
    def overloaded(self) -> bool:
        """See ``Front``."""
        return self._resource is not None and self._resource.door.memory.full

    def reconfigure(self, settings: Settings) -> None:
        """See ``GatewayService``; the limits of requests change with the next one."""
        self._gateway.reconfigure(settings)
        self.admin.reconfigure(settings)
        if self._crew is not None:
            self._crew.reconfigure(settings)
        if self._site is not None and self._resource is not None:
            self._site.limits = limits = limits_of(settings)
            self._resource.door.set_limits(limits)
            self._resource.door.log_requests = settings.log.level == "debug"
            set_guard(self._resource.door, self._gateway.access)
        if self._around is not None:
            self._around.reread()

    def reopen(self) -> None:
        """Files of ours were renamed away: go on with new ones."""
        self._gateway.access.reopen_audit()
        if self._crew is not None:
            self._crew.reopen()

    def stopService(self) -> Deferred[None]:
        """Close the port, answer what is in flight, stop the gateway."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        for port in self._ports:
            await maybeDeferred(port.stopListening)
        if self._crew is not None:
            for one in self._bound:
                one.socket.close()
        deadline = self._gateway.settings.shutdown.deadline.seconds
        begun = self._reactor.seconds()
        if self._resource is not None and self._resource.door.guard is not None:
            self._resource.door.guard.hasten()
        if self._site is not None and not await self._see_off(self._site.drain(), deadline):
            _log.warn("{count} connections are cut, for the time is over", count=self._site.connections)
            self._site.cut()
        if self._crew is not None and not await self._see_off(self._crew.stopService(), deadline):
            _log.warn("the workers were ended, for the time is over")
        if self._around is not None:
            await self._around.stop()
        self._gateway.shorten(self._reactor.seconds() - begun)
        self._gateway.drained = lambda: self.admin.close(self._reactor)
        await self._gateway.stopService()

    async def _see_off(self, draining: Deferred[None], seconds: float) -> bool:
        """Wait for the requests under way, but not longer; whether they have ended."""
        late = False

        def note_late(outcome: Any, _seconds: float) -> Any:
            nonlocal late
            late = True
            return outcome

        self._draining = draining.addTimeout(0.0 if self._hurried else seconds, self._reactor, note_late)
        try:
            await self._draining
        except CancelledError:
            return False
        finally:
            self._draining = None
        return not late


def open_to(settings: Settings, hosts: Sequence[object]) -> list[str]:
    """The addresses of ports on which other machines can send under any name; none where users are proven.

    :param hosts: the addresses of all ports.
    """
    tls = settings.http.tls
    certified = tls.client_ca is not None and tls.client_certificate == "required"
    if settings.auth.mode != "open" or certified:
        return []
    return [str(host) for host in hosts if not is_loopback(str(getattr(host, "host", "")))]
