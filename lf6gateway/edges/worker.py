"""A worker process: serves the public port for a gateway in another process, which started it. Owns the process; must
never touch the journal or a store, nor know a secret of either. It proves users by itself, where that is asked.

It is handed the listening sockets and one end of a socket pair, and ends with the gateway, whose death it sees by the
closing of that pair."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import sys
import time
from collections import Counter
from functools import partial
from typing import Any, Final

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import AdoptedStreamServerEndpoint
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory
from twisted.logger import ILogObserver, LogEvent, Logger, globalLogBeginner
from zope.interface import implementer

from lf6gateway.disk.filesystem import OsFileSystem
from lf6gateway.disk.timed import Syncs, TimedFileSystem
from lf6gateway.edges.around import Around
from lf6gateway.edges.descriptors import limits_of
from lf6gateway.edges.garbage import spare_what_stays
from lf6gateway.edges.guard import set_guard
from lf6gateway.edges.logs import LineObserver
from lf6gateway.edges.ports import RestingPort
from lf6gateway.edges.resources import GatewayResource, gateway_resource
from lf6gateway.edges.site import GatewaySite
from lf6gateway.edges.tls import CannotSpeakTls
from lf6gateway.services.access import Access
from lf6gateway.services.distant import DistantReceiver
from lf6gateway.services.distant_limits import DistantLimits
from lf6gateway.services.heartbeat import Heartbeat
from lf6gateway.services.lag import Lag
from lf6gateway.services.link import Link
from lf6gateway.services.surroundings import real
from lf6gateway.services.threads import Threads
from lf6gateway.services.tokens import CannotRead
from lf6gateway.values.settings import Settings
from lf6gateway.values.settings_parse import parse_settings
from lf6gateway.values.traffic import Traffic
from lf6gateway.values.wire import Begin, Changed, Drain, Listening, Message, Outcome, Reopen, Seen, State, Verdict

_log = Logger()

LINK: Final = 3
"""The descriptor of the socket to the gateway."""
TELL_EVERY: Final = 1.0
"""Seconds after which the gateway is told again what was seen; a worker that dies takes no more of that with it."""
FIRST_SOCKET: Final = 4
"""The descriptor of the first listening socket; the others follow."""


class Worker:
    """Serves from the gateway's first word to its last."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self.link = Link(self._received, self._left_alone)
        self._writers = Threads(reactor, "specimens", 4)
        self._decoders = Threads(reactor, "decode", 2)
        self._ports: list[IListeningPort] = []
        self._receiver: DistantReceiver | None = None
        self._site: GatewaySite | None = None
        self._resource: GatewayResource | None = None
        self._access: Access | None = None
        self._limits: DistantLimits | None = None
        self._around: Around | None = None
        self._observer: LineObserver | None = None
        self._workers = 1
        self._draining = False
        self._over = False
        self._traffic = Traffic(reactor.seconds)
        self._syncs = Syncs()
        self._lag = Lag(reactor)
        self._beat = Heartbeat(reactor, "telling the gateway what was seen", self._tell, TELL_EVERY)

    def _received(self, message: Message) -> None:
        receiver = self._receiver
        match message:
            case Outcome() if receiver is not None:
                receiver.outcome(message)
            case State() if receiver is not None:
                receiver.told(message)
            case Verdict() if self._limits is not None:
                self._limits.verdict(message)
            case Reopen():
                if self._access is not None:
                    self._access.reopen_audit()
            case Begin():
                Deferred.fromCoroutine(self._begin(message)).addErrback(self._failed)
            case Changed():
                self._changed(_parsed(message.settings))
            case Drain():
                self.drain()
            case _:
                raise ValueError(f"the gateway does not say {type(message).__name__}")

    async def _begin(self, begin: Begin) -> None:
        settings = _parsed(begin.settings)
        self._workers = begin.workers
        self._observer = LineObserver(sys.stdout, as_json=begin.log_format == "json", level=settings.log.level)
        globalLogBeginner.beginLoggingTo([_Named(self._observer)], redirectStandardIO=False)
        self._writers.startService()
        self._decoders.startService()
        limits = limits_of(settings, self._workers)
        self._receiver = DistantReceiver(
            send=self.link.send,
            fs=TimedFileSystem(OsFileSystem(), self._syncs, self._reactor.seconds),
            root=begin.root,
            offload=self._writers,
            new_id=partial(secrets.token_hex, 16),
            max_waiting=limits.max_waiting,
            now_ns=time.time_ns,
        )
        self._resource = gateway_resource(self._receiver, limits, self._decoders)
        self._resource.door.log_requests = settings.log.level == "debug"
        self._resource.door.traffic = self._traffic
        self._site = GatewaySite(self._resource, limits, reactor=self._reactor, channel=settings.http.channel)
        self._site.traffic = self._traffic
        self._limits = DistantLimits(self.link.send)
        self._access = access = Access(settings, real(self._reactor), self._limits)
        self._around = around = Around(
            settings, lambda: access.settings.http.trusted_proxies, clock=self._reactor, offload=self._decoders
        )
        try:
            await access.start()
            await around.start()
        except (CannotRead, CannotSpeakTls) as error:
            _log.error("a worker cannot begin: {error}", error=str(error))
            _end(1)
        set_guard(self._resource.door, access)
        self._site.certified = around.certified
        for number, (family, kind) in enumerate(begin.sockets, FIRST_SOCKET):
            endpoint = AdoptedStreamServerEndpoint(self._reactor, number, socket.AddressFamily(family))
            port = await endpoint.listen(around.factory(kind, self._site))
            self._ports.append(RestingPort(port, self._reactor, shared=True))
        spare_what_stays()
        self.link.send(Listening())
        self._lag.startService()
        self._beat.start(now=False)

    def _tell(self) -> None:
        """Let the gateway know what was seen since the last time, where that is anything."""
        access, site = self._access, self._site
        if access is None or site is None:
            return
        refused, access.refused = access.refused, Counter()
        pools = [
            (f"worker {one.name}", one.size, one.busy, one.queued, one.finished)
            for one in (self._writers.figures, self._decoders.figures)
        ]
        self.link.send(
            Seen(self._traffic.take(), refused, self._syncs.take(), self._lag.seconds.take(), site.connections, pools)
        )

    def _changed(self, settings: Settings) -> None:
        limits = limits_of(settings, self._workers)
        if self._access is not None:
            self._access.reconfigure(settings)
        if self._site is not None and self._resource is not None and self._receiver is not None:
            if self._access is not None:
                set_guard(self._resource.door, self._access)
            self._site.limits = limits
            self._resource.door.set_limits(limits)
            self._resource.door.log_requests = settings.log.level == "debug"
            self._receiver.max_waiting = limits.max_waiting
        if self._around is not None:
            self._around.reread()
        if self._observer is not None:
            self._observer.set_level(settings.log.level)

    def drain(self) -> None:
        """Take no new connection, answer what is under way, and end."""
        if not self._draining:
            self._draining = True
            Deferred.fromCoroutine(self._drain()).addErrback(self._failed)

    async def _drain(self) -> None:
        for port in self._ports:
            await maybeDeferred(port.stopListening)
        if self._resource is not None and self._resource.door.guard is not None:
            self._resource.door.guard.hasten()
        if self._site is not None:
            await self._site.drain()
        if self._access is not None:
            await self._access.stop()
        if self._around is not None:
            await self._around.stop()
        await self._decoders.stopService()
        await self._writers.stopService()
        self._over = True
        await self._beat.stop()
        await self._lag.stopService()
        self._tell()
        self.link.close()
        self._reactor.stop()

    def _failed(self, failure: Any) -> None:
        _log.failure("a worker failed; another one takes its place", failure)
        _end(1)

    def _left_alone(self) -> None:
        """The gateway is gone: nothing can be acknowledged any more."""
        if not self._over:
            _end(1)


@implementer(ILogObserver)
class _Named:
    """Adds the worker's pid to each event."""

    def __init__(self, behind: LineObserver) -> None:
        self._behind = behind
        self._pid = os.getpid()

    def __call__(self, event: LogEvent) -> None:
        self._behind({**event, "worker": self._pid})


def _parsed(text: str) -> Settings:
    return parse_settings(text, "the gateway", {}, cwd="/", hostname="unknown")


def _end(status: int) -> None:
    sys.stdout.flush()
    os._exit(status)


def main() -> None:
    """Serve until the gateway says that it is over."""
    from twisted.internet import reactor as running

    reactor: Any = running
    worker = Worker(reactor)
    # A terminal sends these to all its processes; the gateway alone decides what they mean.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    factory = Factory.forProtocol(lambda: worker.link)
    reactor.adoptStreamConnection(LINK, socket.AF_UNIX, factory)
    os.close(LINK)
    reactor.callWhenRunning(
        lambda: signal.signal(signal.SIGTERM, lambda _number, _frame: reactor.callFromThread(worker.drain))
    )
    reactor.run(installSignalHandlers=True)


if __name__ == "__main__":
    main()
