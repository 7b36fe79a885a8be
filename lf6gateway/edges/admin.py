"""The operators' listener: its socket, its resources and their end. Owns these; must never serve a path of the public
port that takes data, nor be reached through that port."""

from __future__ import annotations

from typing import Any, Final

from attrs import define
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, maybeDeferred, succeed
from twisted.logger import Logger
from twisted.web.iweb import IRequest
from twisted.web.resource import IResource, Resource

from lf6gateway.edges.admin_endpoints import AdminReady, HistoryDocument, Metrics, OpenApi, StatusDocument
from lf6gateway.edges.admin_guard import AdminGuard, Guarded
from lf6gateway.edges.endpoints import Door, Health, Nothing
from lf6gateway.edges.message import Endpoint
from lf6gateway.edges.page_answers import FILES
from lf6gateway.edges.page_endpoints import Login, Logout, Object, Preview, Retry, Root, Ship, Slash
from lf6gateway.edges.page_events import Events
from lf6gateway.edges.page_view import Views
from lf6gateway.edges.ports import Bound, PortTaken, bind_address, plain_host
from lf6gateway.edges.prometheus import GatewayCollector
from lf6gateway.edges.resources import EndpointResource
from lf6gateway.edges.site import GatewaySite
from lf6gateway.services.gateway import GatewayService
from lf6gateway.services.tokens import CannotRead
from lf6gateway.values.limits import Limits
from lf6gateway.values.settings import Settings, reveal
from lf6gateway.values.settings_admin import Admin, check_token
from lf6gateway.values.size import MIB

_log = Logger()

LIMITS: Final = Limits(max_connections=200, max_refused=20, max_specimens=0, max_specimen=MIB)
FAREWELL: Final = 1.0
"""Seconds that answers under way have at the end."""


@define
class AdminSocket:
    """Where operators are answered, or why nowhere.

    :param missing: why there is none, though one is wanted.
    """

    bound: Bound | None = None
    missing: str = ""


def bind_admin(admin: Admin) -> AdminSocket:
    """Listen where the configuration says. Blocks where that is a name.

    :raises PortTaken: somebody named it, and it cannot be listened on.
    """
    address = admin.address
    if address is None:
        return AdminSocket()
    try:
        return AdminSocket(bind_address(address.host, address.port, "admin.listen"))
    except PortTaken as error:
        if admin.named:
            raise
        return AdminSocket(missing=str(error))


class AdminResource(Resource):
    """The root of the operators' paths; others can be put beside them.

    :param guard: who may look.
    """

    def __init__(self, gateway: GatewayService, guard: AdminGuard) -> None:
        super().__init__()
        self.guard = guard
        self.gateway = gateway
        self.door = Door(gateway.receiver, LIMITS, gateway.assembly.decode_threads)
        endpoints: dict[bytes, Endpoint] = {
            b"metrics": Metrics(gateway, GatewayCollector(gateway)),
            b"status": StatusDocument(gateway),
            b"history": HistoryDocument(gateway),
            b"openapi.json": OpenApi(gateway),
        }
        for name, endpoint in endpoints.items():
            self.put(name, endpoint)
        # Probes carry no token, and are told no more than on the public port.
        self.put(b"health", Health(), token=False)
        self.put(b"ready", AdminReady(gateway), token=False)
        self._page(gateway, guard)
        self._nothing = EndpointResource(Guarded(Nothing(), guard), self.door)

    def _page(self, gateway: GatewayService, guard: AdminGuard) -> None:
        """The operator's page."""
        views = Views()
        self.events = Events(gateway, guard, views, gateway.clock)
        self.putChild(b"events", self.events)
        self.put(b"", Root(gateway, guard, views), token=False)  # which asks for it
        self.put(b"login", Login(guard), token=False)
        self.put(b"logout", Logout(guard))
        self.put(b"ship", Ship(gateway, guard))
        self.put(b"quarantine", Preview(gateway, guard))
        self.put(b"retry", Retry(gateway, guard))
        self.put(b"object", Object(gateway))
        for name, file in FILES.items():
            self.put(name.encode("ascii"), file, token=False)

    def put(self, name: bytes, endpoint: Endpoint, *, token: bool = True) -> None:
        """Have an endpoint answer at ``/name``."""
        self.putChild(name, EndpointResource(Guarded(endpoint, self.guard, token=token), self.door))

    def getChild(self, path: bytes, request: IRequest) -> IResource:
        """Nothing is at any other path."""
        return self._nothing

    def render(self, request: IRequest) -> int:
        """Mounted in a host's site and asked for without a slash at the end: the page's addresses need one."""
        return EndpointResource(Slash(), self.door).render(request)


def admin_resource(gateway: GatewayService, token: str | None = None) -> AdminResource:
    """The operators' paths of a gateway that has started, as a resource to mount in a host's site, which says who may
    look.

    :param token: what a request must carry as ``Authorization: Bearer``, if anything.
    :raises RuntimeError: the gateway has not started; wait for its ``started``.
    """
    return AdminResource(gateway, AdminGuard(token, None))


class AdminListener(Service):
    """Serves the operators' paths on a socket of their own.

    :param gateway: one that has started by the time ``open`` is called.
    """

    def __init__(self, gateway: GatewayService, socket: AdminSocket) -> None:
        self.setName("admin")
        self.resource: AdminResource | None = None
        self._gateway = gateway
        self._socket = socket
        self._guard = AdminGuard(None, ())
        self._site: GatewaySite | None = None
        self._port: Any = None

    async def open(self, reactor: Any) -> None:
        """Begin to answer.

        :raises CannotRead: the file of the token cannot be used.
        """
        super().startService()
        bound = self._socket.bound
        if bound is None:
            if self._socket.missing:
                _log.warn(
                    "{why}. The gateway runs without /metrics and /status; name another port in admin.listen, or set "
                    "it to off",
                    why=self._socket.missing,
                )
            return
        await self._reread(self._gateway.settings)
        self.resource = AdminResource(self._gateway, self._guard)
        self._site = GatewaySite(self.resource, LIMITS, reactor=reactor, channel="twisted")
        self._port = await bound.endpoint(reactor).listen(self._site)
        bound.socket.detach()  # the reactor has a duplicate, and has closed this one
        address = plain_host(self._port.getHost())
        self._gateway.page = f"http://{address}/"
        _log.info("operators are answered on http://{address}/", address=address)

    def reconfigure(self, settings: Settings) -> None:
        """Take over another token, and other names; where one cannot be read, the former one stays."""
        if self._site is not None:
            Deferred.fromCoroutine(self._reread(settings)).addErrback(
                lambda failure: _log.error("{error}; the former token stays in force", error=failure.getErrorMessage())
            )

    async def _reread(self, settings: Settings) -> None:
        admin = settings.admin
        address = self._gateway.at_start.admin.address
        self._guard.set_hosts((*admin.hosts, *(() if address is None else (address.host,))))
        token = reveal(admin.token)
        if admin.token_file is not None:
            path = admin.token_file
            token = await self._gateway.assembly.retain_threads(lambda: _read_token(path))
        self._guard.set_token(token)

    async def close(self, reactor: Any) -> None:
        """Answer no more."""
        super().stopService()
        if self._port is None or self._site is None:
            if self._socket.bound is not None:
                self._socket.bound.socket.close()
            return
        await maybeDeferred(self._port.stopListening)
        ended = succeed(None) if self.resource is None else self.resource.events.stop()
        try:
            await ended.addTimeout(FAREWELL, reactor)
            await self._site.drain().addTimeout(FAREWELL, reactor)
        except (CancelledError, TimeoutError):
            self._site.cut()


def _read_token(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return check_token(file.read(2_000).strip())
    except OSError as error:
        raise CannotRead(f"admin.token_file {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        why = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else error
        raise CannotRead(f"admin.token_file {path}: what it holds {why}") from error
