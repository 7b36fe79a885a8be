"""What each path of the operators' listener answers. Owns these answers; must never change anything, nor decide who may
see them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, ClassVar, Final
from urllib.parse import parse_qs

import msgspec
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from lf6gateway.edges import problems
from lf6gateway.edges.admin_openapi import document
from lf6gateway.edges.endpoints import ASKING
from lf6gateway.edges.message import Answer, Flow, Head, Intake
from lf6gateway.edges.prometheus import GatewayCollector
from lf6gateway.services.gateway import GatewayService
from lf6gateway.services.status import readiness
from lf6gateway.services.watch import Watch
from lf6gateway.values.history import DAY, Minutes
from lf6gateway.values.problem import Refused
from lf6gateway.values.traffic import OTHER

JSON: Final = ((b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store"))
HISTORY: Final = 180
"""Minutes that are told where nobody says how many."""


class Later:
    """An answer that is being made; whatever body comes is not wanted."""

    def __init__(self, work: Coroutine[Any, Any, Answer]) -> None:
        self._work = Deferred.fromCoroutine(work)

    def tell(self, answered: Callable[[Answer], None], failed: Callable[[Failure], None]) -> None:
        """See ``Intake``."""
        self._work.addCallbacks(answered, failed)

    def data(self, chunk: bytes) -> None:
        """See ``Intake``."""

    def whole(self) -> None:
        """See ``Intake``."""

    def abort(self) -> None:
        """See ``Intake``; what is being looked up is looked up to its end."""


class Asked:
    """An endpoint that is only asked."""

    stream: ClassVar = OTHER

    def open(self, head: Head, flow: Flow) -> Answer | Intake:
        """See ``Endpoint``."""
        if head.method not in ASKING:
            raise Refused(problems.method_not_allowed(ASKING))
        return self.answer(head)

    def answer(self, head: Head) -> Answer | Intake:
        """What is answered."""
        raise NotImplementedError


class OfGateway(Asked):
    """An endpoint that tells of a gateway."""

    def __init__(self, gateway: GatewayService) -> None:
        self.gateway = gateway

    @property
    def watch(self) -> Watch:
        """Who knows."""
        if self.gateway.watch is None:
            raise Refused(problems.unavailable("starting", "the gateway is starting", 1))
        return self.gateway.watch


class Metrics(OfGateway):
    """``/metrics``: in the form that the asking Prometheus prefers."""

    def __init__(self, gateway: GatewayService, collector: GatewayCollector) -> None:
        super().__init__(gateway)
        self._collector = collector

    def answer(self, head: Head) -> Answer | Intake:
        """See ``Asked``."""
        watch = self.watch
        return Later(self._told(watch, b",".join(head.fields(b"accept")).decode("latin-1")))

    async def _told(self, watch: Watch, accept: str) -> Answer:
        await watch.fresh()
        encode, content_type = choose_encoder(accept)
        found = _Collected(list(self._collector.collect()))
        body = await watch.parts.decode_threads(lambda: encode(found))
        return Answer(200, ((b"Content-Type", content_type.encode("latin-1")), (b"Cache-Control", b"no-store")), body)


class _Collected:
    """Metrics that were read already, to be written down where it may take a while."""

    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    def collect(self) -> list[Metric]:
        """See ``prometheus_client``."""
        return self._found


class StatusDocument(OfGateway):
    """``/status``: all that is known."""

    def answer(self, head: Head) -> Answer | Intake:
        """See ``Asked``."""
        return Later(self._told(self.watch))

    async def _told(self, watch: Watch) -> Answer:
        await watch.fresh()
        return _json(watch.status())


class HistoryDocument(OfGateway):
    """``/history?minutes=…``: what each minute was like."""

    def answer(self, head: Head) -> Answer | Intake:
        """See ``Asked``."""
        sent = parse_qs(head.query.decode("latin-1")).get("minutes", [str(HISTORY)])
        if len(sent) != 1 or not sent[0].isascii() or not sent[0].isdigit() or not 1 <= int(sent[0][:9]) <= DAY:
            raise Refused(problems.bad_request("invalid-minutes", f"minutes is one number from 1 to {DAY}"))
        return _json(Minutes(1, tuple(self.watch.points(int(sent[0])))))


class AdminReady(OfGateway):
    """``/ready``: as on the public port, told by the gateway itself."""

    def answer(self, head: Head) -> Answer | Intake:
        """See ``Asked``."""
        state = readiness(self.watch)
        if not state.ready:
            raise Refused(problems.unavailable(state.reason or "unknown", state.detail or "", state.retry_after_s or 1))
        return Answer(200, JSON, b'{"status":"ready"}')


class OpenApi(OfGateway):
    """``/openapi.json``: the public port and this one."""

    def __init__(self, gateway: GatewayService) -> None:
        super().__init__(gateway)
        self._body: bytes | None = None

    def answer(self, head: Head) -> Answer | Intake:
        """See ``Asked``."""
        return Later(self._told(self.watch)) if self._body is None else Answer(200, JSON, self._body)

    async def _told(self, watch: Watch) -> Answer:
        self._body = await watch.parts.decode_threads(lambda: msgspec.json.encode(document()))
        return Answer(200, JSON, self._body)


def _json(value: object) -> Answer:
    return Answer(200, JSON, msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
