"""A request on the gateway's own channel: its endpoint is chosen from the head, and the body goes straight there. Owns
the passage between twisted.web's request and an exchange; must never buffer a body of ours, or decide an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request

from lf6gateway.edges import problems
from lf6gateway.edges.exchange import Exchange
from lf6gateway.edges.message import Answer, Head, request_id_of
from lf6gateway.edges.resources import EndpointResource, fields_of, peer_of, write_answer
from lf6gateway.edges.targets import NOTHING, WORTH_READING, origin_form, segments

_log = Logger()

if TYPE_CHECKING:
    from lf6gateway.edges.channel import GatewayChannel


class GatewayRequest(Request):
    """One request on a ``GatewayChannel``.

    A resource of the gateway's is fed as the body arrives. One that a host application has mounted beside it gets its
    body buffered, as it is used to.
    """

    channel: GatewayChannel
    _exchange: Exchange | None = None
    _answered_early = False
    _length: int | None = None
    _received = 0
    _whole = False
    _gone = False

    def head_received(self, method: bytes, target: bytes, version: bytes, length: int | None, told: bool) -> None:
        """The head is complete.

        :param length: of the body in bytes; ``None``: it comes in chunks.
        :param told: whether the head said anything about a body.
        """
        self.method, self.uri, self.clientproto = method, target, version
        self.path, _, query = origin_form(target).partition(b"?")
        self.args = {}
        self._length = length
        resource = self._find()
        # A host's resource is looked for again, and its errors are answered, once its body is there.
        if not isinstance(resource, EndpointResource):
            self.gotLength(length)
            return
        fields = fields_of(self.requestHeaders)
        head = Head(
            method=method,
            path=self.path,
            query=query,
            fields=fields,
            length=length if told else None,
            chunked=length is None,
            peer=peer_of(self),
            request_id=request_id_of(fields),
            certified=self.channel.certified_user(),
        )
        endpoint = resource.endpoint_for(self) if self.path.startswith(b"/") else NOTHING
        door = resource.door
        self._exchange = Exchange(
            endpoint, head, self, self._answered, log_requests=door.log_requests, traffic=door.traffic
        )
        self._exchange.open()

    def _find(self) -> Any:
        self.site = self.channel.site
        self.prepath = []
        self.postpath = segments(self.path)
        try:
            return self.site.getResourceFor(self)
        except Exception:
            _log.failure("the resource for {path} could not be found yet", path=self.path)
            return None

    @property
    def awaits_body(self) -> bool:
        """Whether somebody is there for the body, and there is no answer yet."""
        return not self._answered_early

    # What the channel calls.

    def handleContentChunk(self, data: bytes) -> None:
        """Some of the body."""
        self._received += len(data)
        if self._exchange is not None:
            self._exchange.data(data)
        elif self._received > self.channel.site.limits.max_specimen:
            self.channel.refuse(problems.too_large(self.channel.site.limits.max_specimen))
        else:
            super().handleContentChunk(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """The body is complete."""
        self._whole = True
        if self._exchange is None:
            super().requestReceived(command, path, version)
        elif self._answered_early:
            self.finish()
        else:
            self._exchange.whole()

    def give_up(self) -> None:
        """Whatever comes of the endpoint now, nobody hears it."""
        self._gone = True
        if self._exchange is not None:
            self._exchange.abort()

    def connectionLost(self, reason: Failure) -> None:
        """The client is gone."""
        self.give_up()
        super().connectionLost(reason)

    # What the exchange calls.

    def pause(self) -> None:
        """Stop reading the body."""
        if not self._gone and not self._whole:
            self.channel.hold()

    def resume(self) -> None:
        """Read the body again."""
        if not self._gone and not self._whole:
            self.channel.release()

    def _answered(self, answer: Answer) -> None:
        if self._gone:
            return
        self._gone = True
        if self._whole:
            self._write(answer)
            self.finish()
            return
        self._answered_early = True
        self.channel.release()
        if self._worth_reading():
            self._write(answer)  # and finish once the rest of the body has been read and dropped
        else:
            self.channel.leave_unread()
            self._write(answer)
            self.finish()

    def _worth_reading(self) -> bool:
        if self._length is None or self.channel.continue_awaited:
            return False
        return self._length - self._received <= WORTH_READING

    def _write(self, answer: Answer) -> None:
        assert self._exchange is not None
        write_answer(self, answer, self._exchange.head.request_id)

    def write(self, data: bytes) -> None:
        """Write some of the answer, whoever gives it: it names no server software, and says when it is the last one."""
        if not self.startedWriting:
            self.responseHeaders.removeHeader(b"Server")
            if self.channel is not None and self.channel.ends_with_this_answer():
                self.responseHeaders.setRawHeaders(b"Connection", [b"close"])
        super().write(data)
