"""One request as llhttp has parsed it, and the passage from it to an exchange. Owns how its body is framed, and what
becomes of a body that comes after the answer; must never touch the socket, or decide an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lf6gateway.edges.endpoints import Door, awaits_continue
from lf6gateway.edges.exchange import Exchange
from lf6gateway.edges.message import Answer, Endpoint, Head, request_id_of
from lf6gateway.edges.targets import WORTH_READING, origin_form

if TYPE_CHECKING:
    from lf6gateway.edges.llhttp_channel import LlhttpChannel

_NO_VALUES: Final[tuple[bytes, ...]] = ()


class LlhttpRequest:
    """Filled in by the channel while it is parsed; then it feeds an exchange, at once or when its turn comes.

    ``pieces`` holds what came of the body before that; ``whole`` whether all of it has come.
    """

    __slots__ = (
        "_channel",
        "_exchange",
        "_gone",
        "_received",
        "answered_early",
        "chunked",
        "found",
        "headed",
        "keeps_alive",
        "length",
        "method",
        "named",
        "path",
        "pieces",
        "query",
        "repeated",
        "target",
        "told",
        "version",
        "whole",
    )

    def __init__(self, channel: LlhttpChannel) -> None:
        self._channel = channel
        self.named: dict[bytes, list[bytes]] = {}
        self.target = self.path = self.query = b""
        self.method = b""
        self.length = 0
        self.chunked = False
        self.told = False
        self.headed = False
        self.version = ""
        self.keeps_alive = False
        self.repeated = 0
        self.found: tuple[Endpoint, Door] | None = None
        self.pieces: list[bytes] = []
        self.whole = False
        self.answered_early = False
        self._exchange: Exchange | None = None
        self._received = 0
        self._gone = False

    # From the parser.

    def fields(self, name: bytes) -> list[bytes] | tuple[bytes, ...]:
        """All values of a header field."""
        return self.named.get(name, _NO_VALUES)

    def framed(self) -> bool:
        """Find out how long the body is; whether there is but one way to read it. llhttp has looked at this already;
        here nothing is left to its leniency."""
        codings = self.named.get(b"transfer-encoding")
        lengths = self.named.get(b"content-length")
        if codings is not None:
            self.chunked = self.told = True
            return lengths is None and len(codings) == 1 and codings[0].lower() == b"chunked"
        if lengths is not None:
            if len(lengths) != 1 or not lengths[0].isdigit():
                return False
            self.length = int(lengths[0])
            self.told = True
        return True

    def locate(self) -> bytes:
        """Find out path and query; the path."""
        target = self.target
        if target[:1] != b"/":
            target = origin_form(target)
        self.path, _, self.query = target.partition(b"?")
        return self.path

    @property
    def closes(self) -> bool:
        """Whether the sender wants the connection closed behind the answer."""
        sent = self.named.get(b"connection")
        return sent is not None and any(
            token.strip().lower() == b"close" for value in sent for token in value.split(b",")
        )

    @property
    def awaits_continue(self) -> bool:
        """Whether the sender waits to be told before it sends the body."""
        return (
            b"expect" in self.named
            and (self.chunked or self.length != 0)
            and self.version == "1.1"
            and awaits_continue(self.fields)
        )

    @property
    def size(self) -> int:
        """The length of the head, near enough."""
        fields = sum(len(name) + len(value) + 4 for name, values in self.named.items() for value in values)
        return len(self.target) + fields

    # From the channel.

    def begin(self, endpoint: Endpoint, peer: str, door: Door) -> None:
        """Let the endpoint decide."""
        head = Head(
            self.method,
            self.path,
            self.query,
            self.fields,
            self.length if self.told and not self.chunked else None,
            self.chunked,
            peer,
            request_id_of(self.fields),
            self._channel.certified_user(),
        )
        self._exchange = exchange = Exchange(
            endpoint, head, self, self._answered, log_requests=door.log_requests, traffic=door.traffic
        )
        exchange.open()

    def data(self, chunk: bytes) -> None:
        """Some of the body."""
        self._received += len(chunk)
        assert self._exchange is not None
        self._exchange.data(chunk)

    def complete(self) -> None:
        """The body has come to its end."""
        self.whole = True
        if self.answered_early:
            self._channel.done(self)
        else:
            assert self._exchange is not None
            self._exchange.whole()

    def give_up(self) -> None:
        """Whatever comes of the endpoint now, nobody hears it."""
        self._gone = True
        if self._exchange is not None:
            self._exchange.abort()

    # From the exchange.

    def pause(self) -> None:
        """Stop reading the body."""
        if not self._gone and not self.whole:
            self._channel.hold()

    def resume(self) -> None:
        """Read the body again."""
        if not self._gone and not self.whole:
            self._channel.release()

    def _answered(self, answer: Answer) -> None:
        if self._gone:
            return
        self._gone = True
        channel = self._channel
        assert self._exchange is not None
        request_id = self._exchange.head.request_id
        if self.whole:
            channel.answer(self, answer, request_id)
            channel.done(self)
            return
        self.answered_early = True
        channel.release()
        if self._worth_reading():
            channel.answer(self, answer, request_id)  # and done once the rest of the body has been read and dropped
        else:
            channel.leave_unread()
            channel.answer(self, answer, request_id)
            channel.done(self)

    def _worth_reading(self) -> bool:
        if self.chunked or self._channel.continue_awaited:
            return False
        return self.length - self._received <= WORTH_READING
