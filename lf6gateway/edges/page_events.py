"""What changes on the operator's page while it is looked at, as server-sent events
(https://html.spec.whatwg.org/multipage/server-sent-events.html). Owns the open streams: how many there may be, that one
that is not read gathers nothing, and their end; must never make a part of the page for one of them alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from lf6gateway.edges import problems
from lf6gateway.edges.admin_guard import AdminGuard
from lf6gateway.edges.endpoints import ASKING
from lf6gateway.edges.message import problem_answer, request_id_of
from lf6gateway.edges.page_answers import PROTECTED
from lf6gateway.edges.page_charts import WINDOWS
from lf6gateway.edges.page_view import Views
from lf6gateway.edges.resources import fields_of, write_answer
from lf6gateway.services.gateway import GatewayService
from lf6gateway.services.heartbeat import Heartbeat
from lf6gateway.services.watch import Watch
from lf6gateway.values.problem import Problem, Refused

_log = Logger()

MOST: Final = 40
"""Streams that are open at the same time."""
EVERY: Final = 2.0
"""Seconds between two rounds."""
UNREAD: Final = 30.0
"""Seconds after which a stream that nobody reads is ended."""
_CROWDED: Final = Problem(
    503,
    "too-many-streams",
    "Service unavailable",
    f"{MOST} pages are renewed already; close one of them",
    retry_after=15,
)


@implementer(IPushProducer)
class _Stream:
    """One browser that is told."""

    def __init__(self, request: Request, hours: int) -> None:
        self.request = request
        self.hours = hours
        self.told: dict[str, str] = {}
        self.paused_at: float | None = None
        self.paused = False

    def tell(self, parts: Mapping[str, str]) -> None:
        """What has changed since the last time; where nothing has, a comment that keeps the connection."""
        changed = {name: made for name, made in parts.items() if self.told.get(name) != made}
        self.told = dict(parts)
        if changed:
            self.request.write(b"event: renew\ndata: " + msgspec.json.encode(changed) + b"\n\n")
        else:
            self.request.write(b": no change\n\n")

    def pauseProducing(self) -> None:
        """It is not read."""
        self.paused = True

    def resumeProducing(self) -> None:
        """It is read again."""
        self.paused = False
        self.paused_at = None

    def stopProducing(self) -> None:
        """Nobody is there any more; told by ``notifyFinish`` too."""


class Events(Resource):
    """``/events?hours=…``."""

    isLeaf = True

    def __init__(self, gateway: GatewayService, guard: AdminGuard, views: Views, clock: Any) -> None:
        super().__init__()
        self._gateway = gateway
        self._guard = guard
        self._views = views
        self._clock = clock
        self._streams: set[_Stream] = set()
        self._beat: Heartbeat | None = None
        self._over = False

    @property
    def count(self) -> int:
        """How many streams are open."""
        return len(self._streams)

    def render(self, request: IRequest) -> int | bytes:
        """Open a stream."""
        assert isinstance(request, Request)
        fields = fields_of(request.requestHeaders)
        try:
            self._guard.check(fields)
            if request.method not in ASKING:
                raise Refused(problems.method_not_allowed(ASKING))
            if self._over or self._gateway.watch is None:
                raise Refused(problems.draining())
            if len(self._streams) >= MOST:
                raise Refused(_CROWDED)
        except Refused as refusal:
            request_id = request_id_of(fields)
            write_answer(request, problem_answer(refusal.problem, request_id), request_id)
            request.finish()
            return NOT_DONE_YET
        for name, value in (
            (b"Content-Type", b"text/event-stream"),
            (b"Cache-Control", b"no-store"),
            (b"X-Accel-Buffering", b"no"),
            *PROTECTED,
        ):
            request.responseHeaders.setRawHeaders(name, [value])
        if request.method == b"HEAD":
            return b""
        self._open(request, self._gateway.watch)
        return NOT_DONE_YET

    def stop(self) -> Deferred[None]:
        """End all streams, and open no other; fires when nothing runs any more."""
        self._over = True
        beat, self._beat = self._beat, None
        ended: Deferred[None] = succeed(None) if beat is None else beat.stop()
        for stream in list(self._streams):
            stream.request.write(b"event: end\ndata: {}\n\n")
            self._end(stream)
        return ended

    def _open(self, request: Request, watch: Watch) -> None:
        hours = WINDOWS.get(request.uri.partition(b"?hours=")[2].decode("latin-1"), next(iter(WINDOWS.values())))
        stream = _Stream(request, hours)
        request.notifyFinish().addBoth(lambda _: self._gone(stream))
        self._streams.add(stream)
        request.write(b"retry: 5000\n\n")
        request.registerProducer(stream, True)
        if self._beat is None:
            self._beat = Heartbeat(self._clock, "renewing the operator's page", lambda: self._round(watch), EVERY)
            self._beat.start(now=True)

    async def _round(self, watch: Watch) -> None:
        self._recheck()
        for hours in {stream.hours for stream in self._streams if not stream.paused}:
            view = await self._views.of(watch, hours)
            for stream in [one for one in self._streams if one.hours == hours and not one.paused]:
                stream.tell(view.parts)
        now = self._clock.seconds()
        for stream in [one for one in self._streams if one.paused]:
            stream.paused_at = now if stream.paused_at is None else stream.paused_at
            if now - stream.paused_at >= UNREAD:
                _log.info("a page that was not read for {seconds:.0f} s is renewed no more", seconds=UNREAD)
                self._streams.discard(stream)
                stream.request.loseConnection()

    def _recheck(self) -> None:
        """Who may not look any more, for the token was changed or the session is over, sees no more."""
        for stream in list(self._streams):
            try:
                self._guard.check(fields_of(stream.request.requestHeaders))
            except Refused:
                self._end(stream)

    def _end(self, stream: _Stream) -> None:
        self._streams.discard(stream)
        stream.request.unregisterProducer()
        stream.request.finish()

    def _gone(self, stream: _Stream) -> None:
        self._streams.discard(stream)
        if not self._streams and self._beat is not None:
            beat, self._beat = self._beat, None
            beat.stop()
