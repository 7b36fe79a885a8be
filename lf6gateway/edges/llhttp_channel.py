"""One connection of the public port, read by llhttp, the C parser of Node.js. Owns the order of requests and
answers; must never know a path's meaning or a user, nor read HTTP in a second way of its own.

A request to an endpoint of the gateway's goes from the parser straight to it. What needs more of twisted.web (a
resource of a host's, an upgrade that may be ignored, a method or a target that llhttp does not know) is handed over,
with its connection, to a ``GatewayChannel``, which reads it from its first byte."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from httptools import (
    HttpParserCallbackError,
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserInvalidURLError,
    HttpParserUpgrade,
    HttpRequestParser,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from lf6gateway.edges import problems
from lf6gateway.edges.answer_bytes import answer_bytes
from lf6gateway.edges.connection import Stage
from lf6gateway.edges.head_rules import FRAMING, head_fault
from lf6gateway.edges.llhttp_request import LlhttpRequest
from lf6gateway.edges.message import Answer, problem_answer, request_id_of
from lf6gateway.edges.targets import endpoint_at
from lf6gateway.edges.turns import Turns
from lf6gateway.values.problem import Problem

if TYPE_CHECKING:
    from lf6gateway.edges.site import GatewaySite

AHEAD: Final = 64 * 1024
"""How many bytes may come behind a request that is not yet answered before reading stops."""
_NEEDS_MORE: Final = (HttpParserInvalidMethodError, HttpParserInvalidURLError, HttpParserUpgrade)
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class LlhttpChannel(Turns, Protocol):
    """Requests are served one after the other; what comes behind one that is under way waits."""

    site: GatewaySite
    transport: Any

    def __init__(self) -> None:
        super().__init__()
        self.persistent = True
        self.continue_awaited = False
        self._parser = HttpRequestParser(self)
        self._peer = ""
        self._parsing: LlhttpRequest | None = None
        self._current: LlhttpRequest | None = None
        self._behind: deque[LlhttpRequest] = deque()
        self._unparsed: list[bytes] = []
        self._unparsed_bytes = 0
        self._chunk = 0
        self._unread = False
        self._failed: Problem | None = None
        self._head: list[bytes] = []
        self._head_bytes = 0
        self._from_the_start = True
        self._foreign = False
        self._overhead = 0
        self._blank = 0

    # The connection.

    def connectionMade(self) -> None:
        """A client has connected."""
        self._begin_sending()
        self._begin()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is gone, whoever ended it."""
        self._enter_the_end(Stage.CLOSED)
        self._socket = None
        self._out.clear()
        self._deadline.stop()
        self._end_turns()
        self._give_up()
        self.site.disconnected(self)

    def dataReceived(self, data: bytes) -> None:
        """Some bytes have come."""
        stage = self.stage
        if stage is Stage.IDLE or stage is Stage.HEAD:
            self._in_a_row = 0
            self._read(data)
        elif stage is Stage.BODY:
            if self._fast_enough(len(data)):
                self._read(data)
            else:
                self._body_too_slow()
        elif stage is Stage.ANSWER or stage is Stage.UNREAD:
            self._unparsed.append(data)
            self._unparsed_bytes += len(data)
            if self._unparsed_bytes > AHEAD:
                self._pace()
        elif stage is Stage.LINGER:
            self._dropped(len(data))

    def loseConnection(self) -> None:
        """Close once everything written has gone out, or after a while."""
        if self.stage is not Stage.CLOSED:
            self._enter_the_end(Stage.CLOSING)
            self._deadline.set(self.site.limits.close_timeout)
        self._end_sending()
        self.transport.loseConnection()

    # Reading.

    def _read(self, data: bytes) -> None:
        """Parse some bytes and serve what is whole; the answers given meanwhile go out in one go."""
        self._busy = True
        self._chunk = size = len(data)
        self._overhead += size
        if self._current is None:
            if self._parsing is None:
                if data[:1] in b"\r\n" and self._only_blank(data):
                    self.refuse(problems.malformed("more than one empty line stands in front of the request"))
                    self._busy = False
                    self._flush()
                    return
                self._from_the_start = True
                self._head_bytes = size
                self._head = [data]
            else:
                self._head_bytes += size
                if self._from_the_start:
                    self._head.append(data)
        try:
            self._parser.feed_data(data)
        except _NEEDS_MORE:
            self._foreign = True
        except HttpParserCallbackError as error:
            raise error.__context__ or error from None
        except HttpParserError:
            self._not_http()
        if self._foreign and self._from_the_start and not self.ending:
            self._hand_over()
            return
        self._go_on()

    def _only_blank(self, data: bytes) -> bool:
        """Whether more than the one empty line that is passed over stands in front of a request."""
        self._blank += len(data) - len(data.lstrip(b"\r\n"))
        return self._blank > len(b"\r\n")

    def _not_http(self) -> None:
        if self._failed is None:
            if self._parsing is not None and self._parsing.headed:
                self._failed = problems.malformed("the chunks of the body are not as HTTP/1.1 has them")
            else:
                self._failed = problems.malformed()

    def _go_on(self) -> None:
        """Serve what waits, one behind the other, as far as it goes; then send what was answered."""
        self._busy = True
        while self._current is None and not self.ending and not self._must_wait():
            if self._behind:
                self._serve(self._behind.popleft())
            elif self._failed is not None:
                self.refuse(self._failed)
            elif self._foreign:
                self.loseConnection()  # its sender repeats it: it was not begun, and the answer before it said so
            elif self._unparsed:
                data = b"".join(self._unparsed)
                self._unparsed.clear()
                self._unparsed_bytes = 0
                self._read(data)
                return
            else:
                break
        if self._failed is not None and self._current is self._parsing and not self._behind:
            self.refuse(self._failed)
        self._busy = False
        if not self.ending:
            self._settle()
        self._flush()

    def _has_more(self) -> bool:
        return bool(self._behind or self._unparsed)

    def _settle(self) -> None:
        """Say what the connection waits for now, after everything that has come was looked at."""
        current = self._current
        limits = self.site.limits
        if current is not None:
            self._head = []
            if current.whole:
                self.stage = Stage.ANSWER
                self._deadline.clear()
            elif self.stage is not Stage.BODY:
                self._overhead = 0
                self._begin_body()
            elif self._overhead > limits.max_head:
                self.refuse(problems.malformed("the chunks of the body are more than what is in them"))
        elif self._has_more():
            if self.stage is not Stage.UNREAD:
                self.stage = Stage.UNREAD
                self.since = self.site.reactor.seconds()
                self._deadline.set(limits.idle_timeout)
        elif self._parsing is not None:
            if self.stage is not Stage.HEAD:
                self.stage = Stage.HEAD
                self.since = self.site.reactor.seconds()
                self._deadline.set(limits.header_timeout)
            if self._head_bytes > limits.max_head:
                self.refuse(problems.head_too_large(limits.max_head))
        else:
            self._head = []
            if self.stage is not Stage.IDLE:
                self.stage = Stage.IDLE
                self.since = self.site.reactor.seconds()
                self._deadline.set(limits.idle_timeout)
        if self._stalled:
            self._pace()

    def _hand_over(self) -> None:
        """Let a channel of twisted.web's read this connection, from the first byte of the present request on."""
        data = b"".join(self._head)
        self._head = []
        self._end_sending()
        self._deadline.stop()
        self._enter_the_end(Stage.CLOSED)
        channel = self.site.handed_over(self)
        self.dataReceived = channel.dataReceived  # type: ignore[method-assign]
        self.connectionLost = channel.connectionLost  # type: ignore[method-assign]
        channel.makeConnection(self.transport)
        channel.dataReceived(data)

    # From the parser.

    def on_message_begin(self) -> None:
        """A request begins."""
        self._parsing = LlhttpRequest(self)
        self._blank = 0
        if not self._from_the_start:
            self._head_bytes = 0

    def on_url(self, target: bytes) -> None:
        """Some of the target."""
        assert self._parsing is not None
        self._parsing.target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field, or one of a trailer, which nobody reads."""
        parsing = self._parsing
        assert parsing is not None
        name = name.lower()
        if parsing.headed:
            if name in FRAMING and self._failed is None:
                self._failed = problems.malformed("a trailer field says how long a body is that has ended")
            return
        named = parsing.named
        if name in named:
            named[name].append(value.strip(b" \t"))
            parsing.repeated += 1
        else:
            named[name] = [value.strip(b" \t")]

    def on_headers_complete(self) -> None:
        """A head is complete."""
        if self.ending or self._failed is not None or self._foreign:
            return
        parsing = self._parsing
        assert parsing is not None
        parser = self._parser
        parsing.headed = True
        parsing.method = parser.get_method()
        limits = self.site.limits
        parsing.version = version = parser.get_http_version()
        if (self._chunk + self._head_bytes > limits.max_head and parsing.size > limits.max_head) or len(
            parsing.named
        ) + parsing.repeated > limits.max_headers:
            self._failed = problems.head_too_large(limits.max_head)
        elif version not in ("1.1", "1.0") or not parsing.framed():
            self._failed = problems.malformed()
        elif (fault := self._fault(parsing)) is not None:
            self._failed = problems.malformed(fault)
        else:
            parsing.keeps_alive = version == "1.1" and not parsing.closes
            parsing.found = endpoint_at(self.site.resource, parsing.locate())
            if parsing.found is None or b"upgrade" in parsing.named or parsing.method == b"CONNECT":
                self._foreign = True
            elif self._current is not None or self._behind or self._waits() or b"expect" in parsing.named:
                self._behind.append(parsing)
            else:
                self._serve(parsing)

    def _fault(self, parsing: LlhttpRequest) -> str | None:
        """What llhttp lets through and should not."""
        if self._from_the_start:
            # It passes over any number of blanks in the request line. (Where that is one behind others, so may we: the
            # target is the same however they are counted.)
            line = b"%b %b HTTP/" % (parsing.method, parsing.target)
            if not b"".join(self._head).lstrip(b"\r\n").startswith(line):
                return "the parts of the request line are not set apart by one space each"
        return head_fault(parsing.method, b"HTTP/" + parsing.version.encode(), parsing.target, parsing.fields)

    def on_body(self, body: bytes) -> None:
        """Some of a body."""
        self._overhead = 0
        parsing = self._parsing
        if parsing is self._current:
            if not self.ending and parsing is not None:
                parsing.data(body)
        elif parsing is not None:
            parsing.pieces.append(body)

    def on_message_complete(self) -> None:
        """A request is whole."""
        parsing, self._parsing = self._parsing, None
        if parsing is None or self._foreign or self.ending:
            return
        self._from_the_start = False
        if parsing is not self._current:
            parsing.whole = True
            return
        if self._held:
            self._held = False
            self._pace()
        parsing.complete()

    # Serving.

    def _serve(self, request: LlhttpRequest) -> None:
        """It is this request's turn."""
        self._current = request
        self._in_a_row += 1
        self.persistent = request.keeps_alive
        self.continue_awaited = not request.whole and not request.pieces and request.awaits_continue
        assert request.found is not None
        endpoint, door = request.found
        if not self._peer:  # not before: a proxy's header, which says it, comes with the first bytes
            address = self.transport.getPeer()
            self._peer = str(getattr(address, "host", None) or address)
        request.begin(endpoint, self._peer, door)
        # Where the body is held back from its first byte on, its sender is told to send it once it is wanted.
        if not (self.continue_awaited and self._held and self._current is request and not request.answered_early):
            self._continue(request)
        for piece in request.pieces:
            if self._current is request and not self.ending:
                request.data(piece)
        if request.whole and self._current is request and not self.ending:
            request.complete()

    def _continue(self, request: LlhttpRequest) -> None:
        if self.continue_awaited and self._current is request and not request.answered_early:
            self._write(_CONTINUE)
        self.continue_awaited = False

    def awaits_body(self) -> bool:
        """Whether somebody is there for the body that comes in."""
        return self._current is not None and not self._current.answered_early

    # What a request calls.

    def hold(self) -> None:
        """Read no more of the body for now."""
        self._held = True
        self._pace()

    def release(self) -> None:
        """Read on."""
        if self._held:
            self._held = False
            if self.continue_awaited and self._current is not None and not self._current.answered_early:
                self._continue(self._current)
            if self.stage is Stage.BODY:
                self._begin_window()
            self._pace()

    def leave_unread(self) -> None:
        """An answer comes before the body was read: this connection takes no other request."""
        self._unread = True
        self.persistent = False

    def answer(self, request: LlhttpRequest, answer: Answer, request_id: str) -> None:
        """Write the answer to the present request."""
        close = not self.persistent or self.site.draining or (self._foreign and not self._behind)
        self._write(answer_bytes(answer, request_id, close=close, without_body=request.method == b"HEAD"))

    def done(self, request: LlhttpRequest) -> None:
        """The present request is answered and read."""
        self._current = None
        if self._held:
            self._held = False
            self._pace()
        if self._unread:
            self._flush()
            self._linger(self.site.limits.linger)
        elif not self.persistent or self.site.draining:
            self.loseConnection()
        else:
            self.served = True
            self.stage = Stage.ANSWER
            if not self._busy:
                self._in_a_row = int(self._choked)
                self._go_on()

    # What is not answered by an endpoint.

    def refuse(self, problem: Problem) -> None:
        """Answer with a problem in place of the request that was coming in, and close."""
        if self.ending:
            return
        request = self._parsing if self._current is None else self._current
        self.site.refused(problem)
        if request is None or not request.answered_early:
            request_id = request_id_of(request.fields if request is not None else _nothing)
            answer = problem_answer(problem, request_id)
            without_body = request is not None and request.method == b"HEAD"
            self._write(answer_bytes(answer, request_id, close=True, without_body=without_body))
        self._give_up()
        self._flush()
        self._linger(self.site.limits.linger)

    def _give_up_all(self) -> None:
        self._give_up()

    def _give_up(self) -> None:
        current, self._current = self._current, None
        if current is not None:
            current.give_up()

    def _holds(self) -> bool:
        return self._held or self._unparsed_bytes > AHEAD

    def _read_on(self) -> None:
        self._pace()

    def _forget_unparsed(self) -> None:
        self._unparsed.clear()
        self._unparsed_bytes = 0
        self._behind.clear()
        self._head = []


def _nothing(_: bytes) -> tuple[bytes, ...]:
    return ()
