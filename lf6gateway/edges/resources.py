"""The endpoints as a tree of twisted.web resources, to serve under a site of one's own or to mount in a host's. Owns
the paths and the feeding of bodies that a host's site has buffered; must never decide what a request is answered."""

from __future__ import annotations

from typing import IO, Final

from twisted.python.failure import Failure
from twisted.web.http import datetimeToString
from twisted.web.http_headers import Headers
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET, Request

from lf6gateway.disk.offload import Offload
from lf6gateway.edges.endpoints import Door, Health, Nothing, Ready, Records, Specimens
from lf6gateway.edges.exchange import Exchange
from lf6gateway.edges.identify import Identify, token_is_name
from lf6gateway.edges.message import Answer, Endpoint, Fields, Head, request_id_of
from lf6gateway.services.receiving import Takes
from lf6gateway.values.limits import Limits
from lf6gateway.values.stream import Stream

_PIECE: Final = 64 * 1024


class EndpointResource(Resource):
    """An endpoint at its place in the tree; it answers at that exact path alone."""

    isLeaf = True

    def __init__(self, endpoint: Endpoint, door: Door) -> None:
        super().__init__()
        self.door = door
        self.endpoint = endpoint

    def endpoint_for(self, request: Request) -> Endpoint:
        """The endpoint that answers a request which the tree led here."""
        return Nothing() if request.postpath else self.endpoint

    def render(self, request: IRequest) -> int:
        """Answer a request whose body some site has buffered already."""
        assert isinstance(request, Request)
        _Buffered(self, request).start()
        return NOT_DONE_YET


class GatewayResource(Resource):
    """The root of the tree. ``door`` holds what may be changed while it serves."""

    def __init__(self, door: Door) -> None:
        super().__init__()
        self.door = door
        self._nothing = EndpointResource(Nothing(), door)
        endpoints: dict[bytes, Endpoint] = {
            b"usage": Records(door, Stream.USAGE),
            b"error": Records(door, Stream.ERROR),
            b"specimen": Specimens(door),
            b"health": Health(),
            b"ready": Ready(door),
        }
        for name, endpoint in endpoints.items():
            self.putChild(name, EndpointResource(endpoint, door))

    def getChild(self, path: bytes, request: IRequest) -> IResource:
        """Nothing is at any other path."""
        return self._nothing

    def render(self, request: IRequest) -> int:
        """Nothing is at the root itself."""
        return self._nothing.render(request)


def gateway_resource(
    receiver: Takes, limits: Limits, offload: Offload, identify: Identify = token_is_name
) -> GatewayResource:
    """The gateway's endpoints as a resource, to mount anywhere in a twisted.web site.

    Under ``GatewaySite`` bodies are streamed and refused early; under any other site they arrive buffered by it.

    :param receiver: who takes what comes in.
    :param limits: how much of it.
    :param offload: where bodies are decoded and large ones checked, off the reactor.
    :param identify: who finds the user of a request.
    """
    return GatewayResource(Door(receiver, limits, offload, identify))


def fields_of(headers: Headers) -> Fields:
    """The header fields of a twisted.web request."""
    return lambda name: headers.getRawHeaders(name) or ()


def peer_of(request: Request) -> str:
    """The other side's address."""
    address = request.getClientAddress()
    return str(getattr(address, "host", None) or address)


def write_answer(request: Request, answer: Answer, request_id: str) -> None:
    """Write an answer to a request, whole; finishing the request is left to the caller."""
    request.setResponseCode(answer.status)
    headers = request.responseHeaders
    for name, value in answer.headers:
        headers.setRawHeaders(name, [value])
    headers.setRawHeaders(b"X-Request-Id", [request_id.encode("ascii")])
    headers.setRawHeaders(b"Date", [datetimeToString()])
    headers.removeHeader(b"Server")
    if answer.status != 204:
        headers.setRawHeaders(b"Content-Length", [b"%d" % len(answer.body)])
    request.write(answer.body)


class _Buffered:
    """Feeds the body that another site has gathered, at the pace it is taken."""

    def __init__(self, resource: EndpointResource, request: Request) -> None:
        self._request = request
        content: IO[bytes] = request.content  # type: ignore[assignment]
        self._content = content
        size = content.seek(0, 2)
        content.seek(0)
        fields = fields_of(request.requestHeaders)
        told = bool(fields(b"content-length") or fields(b"transfer-encoding"))
        path, _, query = request.uri.partition(b"?")
        head = Head(
            method=request.method,
            path=path,
            query=query,
            fields=fields,
            length=size if size or told else None,
            chunked=False,
            peer=peer_of(request),
            request_id=request_id_of(fields),
        )
        self._exchange = Exchange(
            resource.endpoint_for(request),
            head,
            self,
            self._answered,
            log_requests=resource.door.log_requests,
            traffic=resource.door.traffic,
        )
        self._paused = False
        self._feeding = False
        self._ended = False

    def start(self) -> None:
        self._request.notifyFinish().addErrback(self._gone)
        self._exchange.open()
        self._feed()

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        self._feed()

    def _feed(self) -> None:
        if self._feeding or self._ended:
            return
        self._feeding = True
        while not self._paused and not self._exchange.over:
            piece = self._content.read(_PIECE)
            if not piece:
                self._ended = True
                self._exchange.whole()
                break
            self._exchange.data(piece)
        self._feeding = False

    def _gone(self, _: Failure) -> None:
        self._exchange.abort()

    def _answered(self, answer: Answer) -> None:
        write_answer(self._request, answer, self._exchange.head.request_id)
        self._request.finish()
