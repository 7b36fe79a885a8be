"""One connection of the public port. Owns its time-outs, what is answered to what is not HTTP, and that a client gets
to see an answer it was given before it had sent everything; must never know a path or a user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel

from lf6gateway.edges import problems
from lf6gateway.edges.answer_bytes import answer_bytes
from lf6gateway.edges.connection import IN_A_ROW, Connection, Stage
from lf6gateway.edges.endpoints import awaits_continue
from lf6gateway.edges.head_rules import head_fault, line_fault, trailers_fault
from lf6gateway.edges.message import problem_answer, request_id_of
from lf6gateway.edges.request import GatewayRequest
from lf6gateway.edges.resources import fields_of
from lf6gateway.values.problem import Problem

if TYPE_CHECKING:
    from lf6gateway.edges.site import GatewaySite


class GatewayChannel(Connection, HTTPChannel):
    """twisted.web's channel, with a stage and a deadline of its own, and problems in place of bare status lines."""

    site: GatewaySite
    transport: Any
    requests: list[Any]

    def __init__(self) -> None:
        super().__init__()
        self.continue_awaited = False
        self._done: Any = None
        self._in_a_row = 0
        self._unread = False

    # The connection.

    def connectionMade(self) -> None:
        """A client has connected."""
        self.timeOut = None  # the deadlines below stand in for twisted.web's one
        limits = self.site.limits
        self.totalHeadersSize = self.MAX_LENGTH = limits.max_head
        self.maxHeaders = limits.max_headers
        super().connectionMade()
        self._begin()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone, whoever ended it."""
        self._enter_the_end(Stage.CLOSED)
        self._deadline.stop()
        super().connectionLost(reason)
        self.site.disconnected(self)

    def dataReceived(self, data: bytes) -> None:
        """Some bytes have come."""
        if self.stage is Stage.LINGER:
            self._dropped(len(data))
            return
        if self.stage in (Stage.CLOSING, Stage.CLOSED):
            return
        if self.stage is Stage.BODY and not self._fast_enough(len(data)):
            self._body_too_slow()
            return
        if not self._busyReceiving and self._done is None:
            self._in_a_row = 0
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
        fault = head_fault(self._command, self._version, self._path, fields)
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
        # Where the body is held back from its first byte on, its sender is told to send it once it is wanted.
        if not (self.continue_awaited and self._held and request.awaits_body):
            self._continue(request)

    def _continue(self, request: GatewayRequest) -> None:
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
        if self.ending:
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
            self._in_a_row += 1
            if self._waitingForTransport:
                self.stage, self._done = Stage.UNREAD, request  # nothing more is answered until something was read
            elif self._in_a_row > IN_A_ROW and (self._buffer or self._dataBuffer):
                self.stage, self._done = Stage.UNREAD, request
                self.site.reactor.callLater(0, self._go_on)
            else:
                self.stage = Stage.IDLE
                super().requestDone(request)
        else:
            self.persistent = False
            super().requestDone(request)

    def loseConnection(self) -> None:
        """Close once everything written has gone out, or after a while."""
        if self.stage is not Stage.CLOSED:
            self._enter_the_end(Stage.CLOSING)
            self._deadline.set(self.site.limits.close_timeout)
        HTTPChannel.loseConnection(self)

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
            if self.continue_awaited and self.requests[-1].awaits_body:
                self._continue(self.requests[-1])
            self._begin_window()
            if not self._waitingForTransport:
                self._networkProducer.resumeProducing()

    def resumeProducing(self) -> None:
        """The transport's buffer has emptied."""
        super().resumeProducing()
        self._go_on()
        if self._held:
            self._networkProducer.pauseProducing()

    def _go_on(self) -> None:
        """Take up the next request, which has come already."""
        self._in_a_row = 0
        if self._done is not None and self.stage is Stage.UNREAD and not self._waitingForTransport:
            request, self._done = self._done, None
            self.requestDone(request)

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
        if self.ending:
            return
        fields = fields_of(self.requests[-1].requestHeaders) if self.requests else lambda name: ()
        request_id = request_id_of(fields)
        self.site.refused(problem)
        answer = problem_answer(problem, request_id)
        for request in self.requests:
            request.give_up()
        without_body = bool(self.requests) and self.requests[-1].method == b"HEAD"
        self.transport.write(answer_bytes(answer, request_id, close=True, without_body=without_body))
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

    # What the base asks.

    def awaits_body(self) -> bool:
        """Whether somebody is there for the body that comes in."""
        return bool(self.requests[-1].awaits_body)

    def _give_up_all(self) -> None:
        for request in self.requests:
            request.give_up()

    def _forget_unparsed(self) -> None:
        self._buffer = b""  # ends the loop over what has come already
        self._dataBuffer = []

    def _read_on(self) -> None:
        self._networkProducer.resumeProducing()
