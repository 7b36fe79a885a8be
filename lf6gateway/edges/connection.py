"""What a connection of the public port waits for and how long, whichever parser reads it. Owns the stages of a
connection, its deadlines and the pace of a body; must never parse a byte, nor know a path or a user."""

from __future__ import annotations

from enum import Enum
from typing import Any, Final, Protocol

from twisted.internet.interfaces import ISSLTransport, ITCPTransport

from lf6gateway.edges import problems
from lf6gateway.edges.deadline import Deadline
from lf6gateway.edges.tls import certified_user
from lf6gateway.values.limits import Limits
from lf6gateway.values.problem import Problem

DRAIN_HEAD: Final = 2.0
"""Seconds that a request has to complete its head once the site is draining."""
SHORT_LINGER: Final = 1.0
"""Seconds that an answered client is still read from, where there is no time for more."""
IN_A_ROW: Final = 16
"""Requests of one connection that are answered before others have their turn."""


class Stage(Enum):
    """What a connection waits for."""

    IDLE = "the next request"
    HEAD = "the rest of a head"
    BODY = "the rest of a body"
    ANSWER = "an answer of ours"
    UNREAD = "the other side to read its answers"
    LINGER = "the other side to close, which was answered before it had sent everything"
    CLOSING = "the last bytes to go out"
    CLOSED = "nothing"


class SiteLike(Protocol):
    """What a connection needs of its site."""

    limits: Limits
    draining: bool
    certified: bool
    reactor: Any

    def connected(self, channel: Any) -> Problem | None:
        """As ``GatewaySite``."""

    def crowded(self) -> bool:
        """As ``GatewaySite``."""

    def refused(self, problem: Problem) -> None:
        """As ``GatewaySite``."""

    def cut_off(self) -> None:
        """As ``GatewaySite``."""


class Connection:
    """The part of a channel that is about time. A channel derives from it and says what is read."""

    site: SiteLike
    transport: Any

    def __init__(self) -> None:
        super().__init__()
        self.stage = Stage.IDLE
        self.served = False
        """Whether a request was answered on it."""
        self.since = 0.0
        """When its stage began, where that is one of waiting for the other side."""
        self.ending = False
        self._certified: tuple[str | None] | None = None
        self._held = False
        self._lingered = 0
        self._window_start = 0.0
        self._window_bytes = 0

    def certified_user(self) -> str | None:
        """The user whom the client's certificate names, where users are named so."""
        if not self.site.certified:
            return None
        if self._certified is None:
            self._certified = (certified_user(self.transport),)
        return self._certified[0]

    # What a channel must say.

    def awaits_body(self) -> bool:
        """Whether somebody is there for the body that comes in, and there is no answer yet."""
        raise NotImplementedError

    def refuse(self, problem: Problem) -> None:
        """Answer with a problem in place of the request that was coming in, and close."""
        raise NotImplementedError

    def loseConnection(self) -> None:
        """Close once everything written has gone out, or after a while."""
        raise NotImplementedError

    def _give_up_all(self) -> None:
        """Whatever comes of the requests under way, nobody hears it."""
        raise NotImplementedError

    def _forget_unparsed(self) -> None:
        """Drop what has come and was not parsed."""
        raise NotImplementedError

    def _read_on(self) -> None:
        """Let the transport deliver."""
        raise NotImplementedError

    # The beginning and the end.

    def _begin(self) -> None:
        """A client has connected."""
        self._deadline = Deadline(self.site.reactor, self._deadline_reached)
        self.since = self.site.reactor.seconds()
        refused = self.site.connected(self)
        if refused is None:
            self._deadline.set(self.site.limits.idle_timeout)
        elif not self.site.crowded():
            self.refuse(refused)
            self._deadline.set(SHORT_LINGER)
        else:
            self.site.cut_off()
            self.transport.abortConnection()

    def _enter_the_end(self, stage: Stage) -> None:
        """No request is taken any more."""
        self.stage = stage
        self.ending = True

    def drain(self) -> None:
        """End the connection as soon as no request is under way on it."""
        match self.stage:
            case Stage.IDLE if not self.served:
                # Whoever has just connected has a request on its way, which would meet a closed door. A connection
                # that was used already may close at any time, as its client knows.
                self._deadline.set(DRAIN_HEAD)
            case Stage.IDLE | Stage.UNREAD:
                self.loseConnection()
            case Stage.BODY if not self.awaits_body():
                self.loseConnection()
            case Stage.HEAD:
                self._deadline.set(DRAIN_HEAD)
            case Stage.LINGER:
                self._deadline.set(SHORT_LINGER)
            case _:
                pass  # the answer to come closes it

    def cut(self) -> None:
        """End the connection now, and give up what is under way on it."""
        self._give_up_all()
        self.transport.abortConnection()

    def make_way(self) -> None:
        """End for another connection's sake."""
        match self.stage:
            case Stage.IDLE:
                self.loseConnection()
            case Stage.HEAD | Stage.BODY if not self.site.crowded():
                self.refuse(problems.too_slow("request"))
                self._deadline.set(SHORT_LINGER)
            case _:
                self.transport.abortConnection()

    def _linger(self, seconds: float) -> None:
        """Read and drop what still comes until the other side closes: closing at once, with bytes of it unread, would
        make its system throw the answer away."""
        self._enter_the_end(Stage.LINGER)
        self._forget_unparsed()
        self._held = False
        self._read_on()
        self._deadline.set(min(seconds, SHORT_LINGER) if self.site.draining else seconds)
        if ITCPTransport.providedBy(self.transport) and not ISSLTransport.providedBy(self.transport):
            self.transport.loseWriteConnection()

    def _dropped(self, size: int) -> None:
        """So many bytes have come that nobody reads."""
        self._lingered += size
        if self._lingered > self.site.limits.linger_bytes:
            self.loseConnection()

    # The pace of a body.

    def _begin_body(self) -> None:
        self.stage = Stage.BODY
        self._begin_window()

    def pace(self, now: float) -> tuple[float, float]:
        """For how many seconds the window of the body that comes in has lasted, and how many bytes a second came."""
        seconds = 0.0 if self._held else now - self._window_start
        return seconds, self._window_bytes / seconds if seconds > 0 else 0.0

    def _begin_window(self) -> None:
        self._window_start = self.site.reactor.seconds()
        self._window_bytes = 0
        self._deadline.set(self.site.limits.body_timeout)

    def _fast_enough(self, size: int) -> bool:
        limits = self.site.limits
        now = self.site.reactor.seconds()
        self._window_bytes += size
        if now - self._window_start >= limits.body_timeout:
            if self._window_bytes < limits.min_body_rate * (now - self._window_start):
                return False
            self._begin_window()
        else:
            self._deadline.set(limits.body_timeout)
        return True

    def _body_too_slow(self) -> None:
        if self.awaits_body():
            self.refuse(problems.too_slow("body"))
        else:
            self.loseConnection()  # it has its answer, and the rest was only to be dropped

    def _deadline_reached(self) -> None:
        match self.stage:
            case Stage.IDLE | Stage.UNREAD | Stage.LINGER:
                self.loseConnection()
            case Stage.HEAD:
                self.refuse(problems.draining() if self.site.draining else problems.too_slow("head"))
            case Stage.BODY if self._held:
                self._begin_window()  # it is we who are slow
            case Stage.BODY:
                self._body_too_slow()
            case Stage.CLOSING:
                self.transport.abortConnection()
            case _:
                pass
