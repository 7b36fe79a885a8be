"""One connection of the public port. Owns its time-outs, what is answered to what is not HTTP, and that a client gets
to see an answer it was given before it had sent everything; must never know a path or a user."""

from __future__ import annotations

from enum import Enum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import ISSLTransport, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, datetimeToString

from lf6gateway.edges import problems
from lf6gateway.edges.deadline import Deadline
from lf6gateway.edges.endpoints import awaits_continue
from lf6gateway.edges.head_rules import head_fault, line_fault, trailers_fault
from lf6gateway.edges.message import problem_answer, request_id_of
from lf6gateway.edges.request import GatewayRequest
from lf6gateway.edges.resources import fields_of
from lf6gateway.values.problem import Problem

if TYPE_CHECKING:
    from lf6gateway.edges.site import GatewaySite

DRAIN_HEAD: Final = 2.0
"""Seconds that a request has to complete its head once the site is draining."""
SHORT_LINGER: Final = 1.0
"""Seconds that an answered client is still read from, where there is no time for more."""


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


_ENDING: Final = frozenset({Stage.LINGER, Stage.CLOSING, Stage.CLOSED})


class GatewayChannel(HTTPChannel):
    """twisted.web's channel, with a stage and a deadline of its own, and problems in place of bare status lines."""

    site: GatewaySite
    transport: Any
    requests: list[Any]

    def __init__(self) -> None:
        super().__init__()
        self.stage = Stage.IDLE
        self.continue_awaited = False
        self.served = False
        self.since = 0.0
        self._done: Any = None
        self._held = False
        self._unread = False
        self._lingered = 0
        self._window_start = 0.0
        self._window_bytes = 0

    # The connection.

    def connectionMade(self) -> None:
        """A client has connected."""
        self.timeOut = None  # the deadlines below stand in for twisted.web's one
        limits = self.site.limits
        self.totalHeadersSize = self.MAX_LENGTH = limits.max_head
        self.maxHeaders = limits.max_headers
        self._deadline = Deadline(self.site.reactor, self._deadline_reached)
        self.since = self.site.reactor.seconds()
        super().connectionMade()
        refused = self.site.connected(self)
        if refused is None:
            self._deadline.set(limits.idle_timeout)
        elif not self.site.crowded():
            self.refuse(refused)
            self._deadline.set(SHORT_LINGER)
        else:
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone, whoever ended it."""
        self.stage = Stage.CLOSED
        self._deadline.stop()
        super().connectionLost(reason)
        self.site.disconnected(self)

    def dataReceived(self, data: bytes) -> None:
        """Some bytes have come."""
        if self.stage is Stage.LINGER:
            self._lingered += len(data)
            if self._lingered > self.site.limits.linger_bytes:
                self.loseConnection()
            return
        if self.stage in (Stage.CLOSING, Stage.CLOSED):
            return
        if self.stage is Stage.BODY and not self._fast_enough(len(data)):
            self._body_too_slow()
            return
        super().dataReceived(data)
        if self.stage is Stage.IDLE and (self._buffer or self.requests):
            self.stage = Stage.HEAD
            self.since = self.site.reactor.seconds()
            self._deadline.set(self.site.limits.header_timeout)
        if self.stage is Stage.HEAD and not self._busyReceiving and b"\n" in self._buffer:  # each CR LF is out of it
            self.refuse(problems.malformed("a line of the head ends in LF without CR"))

    # A request, as twisted.web's parser finds it.

    def lineReceived(self, line: bytes) -> None:
        """A line of a head."""
        fault = line_fault(line)
        if fault is None:
            super().lineReceived(line)
        else:
            self.refuse(problems.malformed(fault))

    def allHeadersReceived(self) -> None:
        """The head is complete: choose who takes the body, and tell the client to send it, if it waits for that."""
        request: GatewayRequest = self.requests[-1]
        fields = fields_of(request.requestHeaders)
        fault = head_fault(self._version, self._path, fields)
        if fault is not None:
            self.refuse(problems.malformed(fault))
            return
        self.persistent = self._keeps_alive(fields(b"connection"))
        self.continue_awaited = (
            self.length != 0 and self._version == b"HTTP/1.1" and not self._buffer and awaits_continue(fields)
        )
        if self.length != 0:
            self._begin_body()
        request.head_received(
            self._command, self._path, self._version, self.length, told=self._transferDecoder is not None
        )
        if self.continue_awaited and request.awaits_body:
            self._send100Continue()
        self.continue_awaited = False

    def _keeps_alive(self, connection: Any) -> bool:
        tokens = {token.strip().lower() for value in connection for token in value.split(b",")}
        return self._version == b"HTTP/1.1" and b"close" not in tokens

    def headerReceived(self, line: bytes) -> bool:
        """A header field, which must be one."""
        try:
            return bool(super().headerReceived(line))
        except ValueError:  # a Content-Length of more digits than Python reads
            self._respondToBadRequestAndDisconnect()
            return False

    def allContentReceived(self) -> None:
        """A request is complete."""
        if self.stage in _ENDING:
            return  # its head was refused
        self.stage = Stage.ANSWER
        self._deadline.clear()
        if self._held:
            self._held = False
            self._networkProducer.resumeProducing()
        super().allContentReceived()

    def _finishRequestBody(self, data: bytes) -> None:
        if self.stage is not Stage.BODY:
            return
        fault = trailers_fault(getattr(self._transferDecoder, "_trailerHeaders", ()))
        if fault is None:
            super()._finishRequestBody(data)
        else:
            self.refuse(problems.malformed(fault))

    def requestDone(self, request: Any) -> None:
        """A request is answered."""
        if self._unread:
            self.requests.remove(request)
            self._linger(self.site.limits.linger)
        elif self.persistent and not self.site.draining:
            self.served = True
            self.since = self.site.reactor.seconds()
            self._deadline.set(self.site.limits.idle_timeout)
            if self._waitingForTransport:
                self.stage, self._done = Stage.UNREAD, request  # nothing more is answered until something was read
            else:
                self.stage = Stage.IDLE
                super().requestDone(request)
        else:
            self.persistent = False
            super().requestDone(request)

    def loseConnection(self) -> None:
        """Close once everything written has gone out, or after a while."""
        if self.stage is not Stage.CLOSED:
            self.stage = Stage.CLOSING
            self._deadline.set(self.site.limits.close_timeout)
        super().loseConnection()

    # What a request calls.

    def hold(self) -> None:
        """Read no more of the body for now."""
        if self.stage is Stage.BODY:
            self._held = True
            self._networkProducer.pauseProducing()

    def release(self) -> None:
        """Read on."""
        if self._held:
            self._held = False
            self._begin_window()
            if not self._waitingForTransport:
                self._networkProducer.resumeProducing()

    def resumeProducing(self) -> None:
        """The transport's buffer has emptied."""
        super().resumeProducing()
        if self._done is not None:
            request, self._done = self._done, None
            if self.stage is Stage.UNREAD:
                self.requestDone(request)
        if self._held:
            self._networkProducer.pauseProducing()

    def ends_with_this_answer(self) -> bool:
        """Whether this connection takes no further request."""
        return not self.persistent or self.site.draining

    def leave_unread(self) -> None:
        """An answer comes before the body was read: this connection takes no other request."""
        self._unread = True
        self.persistent = False

    # What is not answered by an endpoint.

    def refuse(self, problem: Problem) -> None:
        """Answer with a problem in place of the request that was coming in, and close."""
        if self.stage in _ENDING:
            return
        fields = fields_of(self.requests[-1].requestHeaders) if self.requests else lambda name: ()
        request_id = request_id_of(fields)
        answer = problem_answer(problem, request_id)
        for request in self.requests:
            request.give_up()
        head = [b"HTTP/1.1 %d %s" % (answer.status, HTTPStatus(answer.status).phrase.encode("ascii"))]
        head += [name + b": " + value for name, value in answer.headers]
        head += [
            b"X-Request-Id: " + request_id.encode("ascii"),
            b"Date: " + datetimeToString(),
            b"Content-Length: %d" % len(answer.body),
            b"Connection: close",
        ]
        without_body = bool(self.requests) and self.requests[-1].method == b"HEAD"
        self.transport.write(b"\r\n".join(head) + b"\r\n\r\n" + (b"" if without_body else answer.body))
        self._linger(self.site.limits.linger)

    def _respondToBadRequestAndDisconnect(self) -> None:
        too_large = self._receivedHeaderSize > self.totalHeadersSize or self._receivedHeaderCount > self.maxHeaders
        if too_large:
            self.refuse(problems.head_too_large(self.totalHeadersSize))
        elif self.stage is Stage.BODY:
            self.refuse(problems.malformed("the chunks of the body are not as HTTP/1.1 has them"))
        else:
            self.refuse(problems.malformed())

    def lineLengthExceeded(self, line: bytes) -> None:
        """A line of the head does not end."""
        self.refuse(problems.head_too_large(self.MAX_LENGTH))

    # Time.

    def _begin_body(self) -> None:
        self.stage = Stage.BODY
        self._begin_window()

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
        if self.requests[-1].awaits_body:
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

    # The end.

    def pace(self, now: float) -> tuple[float, float]:
        """For how many seconds the window of the body that comes in has lasted, and how many bytes a second came."""
        seconds = 0.0 if self._held else now - self._window_start
        return seconds, self._window_bytes / seconds if seconds > 0 else 0.0

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

    def drain(self) -> None:
        """End the connection as soon as no request is under way on it."""
        match self.stage:
            case Stage.IDLE if not self.served:
                # Whoever has just connected has a request on its way, which would meet a closed door. A connection
                # that was used already may close at any time, as its client knows.
                self._deadline.set(DRAIN_HEAD)
            case Stage.IDLE | Stage.UNREAD:
                self.loseConnection()
            case Stage.BODY if not self.requests[-1].awaits_body:
                self.loseConnection()
            case Stage.HEAD:
                self._deadline.set(DRAIN_HEAD)
            case Stage.LINGER:
                self._deadline.set(SHORT_LINGER)
            case _:
                pass  # the answer to come closes it

    def cut(self) -> None:
        """End the connection now, and give up what is under way on it."""
        for request in self.requests:
            request.give_up()
        self.transport.abortConnection()

    def _linger(self, seconds: float) -> None:
        """Read and drop what still comes until the other side closes: closing at once, with bytes of it unread, would
        make its system throw the answer away."""
        self.stage = Stage.LINGER
        self._buffer = b""  # ends the loop over what has come already
        self._dataBuffer = []
        self._held = False
        self._networkProducer.resumeProducing()
        self._deadline.set(min(seconds, SHORT_LINGER) if self.site.draining else seconds)
        if ITCPTransport.providedBy(self.transport) and not ISSLTransport.providedBy(self.transport):
            self.transport.loseWriteConnection()
