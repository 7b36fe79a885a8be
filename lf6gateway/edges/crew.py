"""The worker processes that share the public port. Owns their life: starts them, takes another for one that died, and
sees them off; must never serve a request, nor decide what a worker's request comes to."""

from __future__ import annotations

import os
import random as _random
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Factory, ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from lf6gateway.edges import logs
from lf6gateway.edges.worker import FIRST_SOCKET, LINK
from lf6gateway.services.branch import Branch
from lf6gateway.services.counting import Counting
from lf6gateway.services.front import WorkerSeen
from lf6gateway.services.gateway import GatewayService
from lf6gateway.services.heartbeat import Heartbeat
from lf6gateway.services.link import Link
from lf6gateway.services.threads import PoolFigures
from lf6gateway.values.retry import RetryPolicy, full_jitter
from lf6gateway.values.settings import Settings
from lf6gateway.values.settings_print import for_workers
from lf6gateway.values.wire import Begin, Changed, Drain, Listening, May, Message, Reopen, Seen, Used

_log = Logger()

STATE_EVERY: Final = 0.25
"""Seconds between two looks whether data are still taken."""
AGAIN: Final = RetryPolicy(base=0.2, cap=30.0)
"""The pauses before another worker takes the place of one that died soon."""
STEADY: Final = 10.0
"""Seconds after which a worker that dies is no sign that the next one would, too."""
LAST_WORDS: Final = 5.0
"""Seconds that a worker may live on without its line."""
HOPELESS: Final = 5
"""So many deaths in a row, before all workers ever listened, end the start."""
_NOT_THEIRS: Final = ("LIGHTFILE6_", "AWS_")
"""Beginnings of environment variables that may hold secrets of the stores, which no worker needs."""


class WorkersDoNotStart(Exception):
    """The workers die before they listen; the log has what they said."""


class Crew(Service):
    """See the module. ``started`` fires when all of them listen.

    :param count: how many.
    :param sockets: descriptor, address family and kind (``tcp``, ``unix``, ...) of each listening socket.
    """

    def __init__(
        self,
        gateway: GatewayService,
        *,
        count: int,
        sockets: Sequence[tuple[int, int, str]],
        reactor: Any,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self.setName("crew")
        self.started: Deferred[None] = Deferred()
        self.deaths = 0
        """Workers that ended without being asked to."""
        self._gateway = gateway
        self._count = count
        self._sockets = list(sockets)
        self._reactor = reactor
        self._random = random
        self._members: set[Member] = set()
        self._starts: set[IDelayedCall] = set()
        self._failures = 0
        self._gone: list[Deferred[None]] = []
        self._beat = Heartbeat(reactor, "telling the workers whether data are taken", self._tell, STATE_EVERY)

    @property
    def pids(self) -> list[int]:
        """The workers' pids."""
        return sorted(member.pid for member in self._members)

    @property
    def seen(self) -> list[WorkerSeen]:
        """The workers as they told of themselves last."""
        return [member.seen for member in sorted(self._members, key=lambda one: one.pid)]

    def startService(self) -> None:
        """Start them; see ``started``."""
        super().startService()
        self._beat.start(now=False)
        for _ in range(self._count):
            self._start()

    def reconfigure(self, settings: Settings) -> None:
        """Hand new settings on."""
        for member in self._members:
            member.link.send(Changed(for_workers(settings)))

    def reopen(self) -> None:
        """Files of ours were renamed away: all go on with new ones."""
        for member in self._members:
            member.link.send(Reopen())

    def stopService(self) -> Deferred[None]:
        """See them off; fires when none is left. Cancelling it ends them at once."""
        super().stopService()
        for call in self._starts:
            call.cancel()
        self._starts.clear()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        try:
            for member in self._members:
                member.link.send(Drain())
            await self._all_gone()
        except CancelledError:
            for member in self._members:
                member.end()
            await self._all_gone()
        await self._beat.stop()

    def _all_gone(self) -> Deferred[None]:
        if not self._members:
            return succeed(None)
        gone: Deferred[None] = Deferred(self._gone.remove)
        self._gone.append(gone)
        return gone

    def _tell(self) -> None:
        for member in self._members:
            member.branch.tell_state()

    def _start(self) -> None:
        try:
            self._members.add(Member(self, self._gateway, self._sockets, self._count, self._reactor))
        except OSError as error:
            self._failures += 1
            pause = full_jitter(self._failures, AGAIN, self._random)
            _log.error(
                "a worker could not be started: {error}; tried again in {seconds:.1f} s",
                error=str(error),
                seconds=pause,
            )
            self._start_in(pause)

    # What members call.

    def listening(self) -> None:
        """One more of them takes connections."""
        taking = sum(member.listening for member in self._members)
        if not self.started.called and taking == self._count:
            self._failures = 0
            self.started.callback(None)

    def ended(self, member: Member, how: str, seconds: float) -> None:
        """One of them is gone."""
        self._members.discard(member)
        if not self.running:
            if not self._members:
                gone, self._gone = self._gone, []
                for one in gone:
                    one.callback(None)
            return
        self.deaths += 1
        self._failures = 1 if seconds >= STEADY else self._failures + 1
        if not self.started.called and self._failures >= HOPELESS:
            self.started.errback(WorkersDoNotStart(f"{self._failures} workers in a row ended at once: {how}"))
            return
        pause = 0.0 if seconds >= STEADY else full_jitter(self._failures, AGAIN, self._random)
        _log.error(
            "worker {pid} ended ({how}); nothing that it had acknowledged is lost, another one starts in "
            "{seconds:.1f} s",
            pid=member.pid,
            how=how,
            seconds=pause,
        )
        self._start_in(pause)

    def _start_in(self, seconds: float) -> None:
        call: IDelayedCall = self._reactor.callLater(seconds, self._start_again)
        self._starts.add(call)

    def _start_again(self) -> None:
        self._starts = {call for call in self._starts if call.active()}
        self._start()


class Member(ProcessProtocol):
    """One worker process."""

    def __init__(
        self, crew: Crew, gateway: GatewayService, sockets: Sequence[tuple[int, int, str]], count: int, reactor: Any
    ) -> None:
        self.listening = False
        self._crew = crew
        self._reactor = reactor
        self._began = reactor.seconds()
        self._rest = b""
        self._over = False
        self._told: Seen | None = None
        self.link = Link(self._received, self._unheard)
        parts = gateway.assembly
        self.branch = Branch(
            receiver=parts.receiver,
            send=self.link.send,
            fs=gateway.fs,
            offload=parts.specimen_threads,
            space=parts.space,
            specimens=parts.specimens,
            found=parts.specimen_shipper.found,
        )
        self._counting = Counting(gateway.access, self.link.send)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with ours, theirs, open(os.devnull, "rb") as nothing:
            reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, Factory.forProtocol(lambda: self.link))
            descriptors: dict[int, int | str] = {0: nothing.fileno(), 1: "r", 2: "r", LINK: theirs.fileno()}
            descriptors.update({FIRST_SOCKET + place: number for place, (number, _, _) in enumerate(sockets)})
            self._process = reactor.spawnProcess(
                self,
                sys.executable,
                [sys.executable, "-P", "-m", "lf6gateway.edges.worker"],
                env=_without_secrets(os.environ),
                childFDs=descriptors,
            )
        self.pid = int(self._process.pid)
        at_start = gateway.at_start
        self.link.send(
            Begin(
                for_workers(at_start), count, parts.root, logs.form(at_start.log.format), [one[1:] for one in sockets]
            )
        )
        if gateway.settings is not at_start:  # what waits for a restart waits in a worker of later as well
            self.link.send(Changed(for_workers(gateway.settings)))
        self.branch.tell_state()
        self._gateway = gateway

    @property
    def seen(self) -> WorkerSeen:
        """What is known of it."""
        told = self._told
        pools = () if told is None else tuple(PoolFigures(*pool) for pool in told.pools)
        age = self._reactor.seconds() - self._began
        return WorkerSeen(self.pid, self.listening, age, 0 if told is None else told.connections, pools)

    def end(self) -> None:
        """End it at once."""
        if not self._over:
            self._process.signalProcess("KILL")

    def _unheard(self) -> None:
        """It has closed its end of the line, and should be gone in a moment."""
        self._reactor.callLater(LAST_WORDS, self.end)

    def outReceived(self, data: bytes) -> None:
        """Lines of its log."""
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            logs.pass_on(line.decode("utf-8", "replace"))

    def errReceived(self, data: bytes) -> None:
        """Something that it did not log."""
        for line in data.decode("utf-8", "replace").splitlines():
            _log.warn("worker {pid} says: {line}", pid=self.pid, line=line)

    def processEnded(self, reason: Failure) -> None:
        """It is gone."""
        self._over = True
        self.branch.lost()
        self._crew.ended(self, reason.getErrorMessage(), self._reactor.seconds() - self._began)

    def _received(self, message: Message) -> None:
        if isinstance(message, Listening):
            self.listening = True
            self._crew.listening()
        elif isinstance(message, May | Used):
            self._counting.received(message)
        elif isinstance(message, Seen):
            self._told = message
            self._gateway.take(message)
        else:
            self.branch.received(message)


def _without_secrets(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if not name.startswith(_NOT_THEIRS)}
