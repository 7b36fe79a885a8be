"""What each path of the operator's page answers, and what its buttons do. Owns these answers; must never make a page
itself, nor act on a form that was not checked."""

from __future__ import annotations

import os
from typing import ClassVar, Final
from urllib.parse import parse_qs, quote, unquote_to_bytes

from twisted.logger import Logger

from lf6gateway.disk.preview import beginning, told
from lf6gateway.disk.put_back import ask_for
from lf6gateway.disk.set_aside import hindrance, listing
from lf6gateway.edges import page, problems
from lf6gateway.edges.admin_endpoints import Asked, Later, OfGateway
from lf6gateway.edges.admin_guard import AdminGuard
from lf6gateway.edges.message import Answer, Flow, Head, Intake
from lf6gateway.edges.page_answers import ADDRESSES, elsewhere, shown
from lf6gateway.edges.page_charts import WINDOWS
from lf6gateway.edges.page_form import Form, FormIntake, check_type
from lf6gateway.edges.page_view import Views
from lf6gateway.services.gateway import GatewayService
from lf6gateway.services.ship_now import ShipNow
from lf6gateway.services.watch import Watch
from lf6gateway.stores.store import Links
from lf6gateway.values.failure import StoreError
from lf6gateway.values.hexdump import readable
from lf6gateway.values.problem import Problem, Refused
from lf6gateway.values.readable import plural
from lf6gateway.values.stream import Stream
from lf6gateway.values.traffic import OTHER

_log = Logger()

PREVIEWED: Final = 4096
"""Bytes of a file in quarantine that are shown."""
LINK_LASTS: Final = 60
"""Seconds for which a link to an object holds."""


class Root(OfGateway):
    """The page itself, or what asks for the token."""

    def __init__(self, gateway: GatewayService, guard: AdminGuard, views: Views) -> None:
        super().__init__(gateway)
        self._guard = guard
        self._views = views

    def answer(self, head: Head) -> Answer | Intake:
        """See ``Asked``."""
        try:
            self._guard.check(head.fields)
        except Refused as refusal:
            if refusal.problem.status != 401:
                raise
            return asks_for_token(self._guard, head)
        return Later(self._told(self.watch, head))

    async def _told(self, watch: Watch, head: Head) -> Answer:
        hours = WINDOWS.get(_asked(head, "hours"), next(iter(WINDOWS.values())))
        view = await self._views.of(watch, hours)
        sessions = self._guard.sessions
        viewed = page.Viewed(
            hours=hours,
            token=sessions.form(head.fields),
            notice=_asked(head, "told"),
            leave=sessions.known(head.fields),
            files=ADDRESSES,
        )
        return shown(await watch.parts.decode_threads(lambda: page.whole(view.status, view.parts, viewed)))


class Slash(Asked):
    """Where the page is mounted, asked for without the slash at the end that its own addresses need."""

    stream: ClassVar = OTHER

    def answer(self, head: Head) -> Answer:
        """See ``Asked``."""
        last = head.path.rpartition(b"/")[2]
        if not last:
            raise Refused(problems.not_found())
        return elsewhere("./" + quote(unquote_to_bytes(last)) + "/")


def asks_for_token(guard: AdminGuard, head: Head, *, wrong: bool = False) -> Answer:
    """A page with a form for the token."""
    token = guard.sessions.form(head.fields, "login")
    scheme = (b"WWW-Authenticate", b'Bearer realm="lf6gateway admin"')
    return shown(page.login(token, ADDRESSES, wrong), 401, scheme)


class Posted:
    """An endpoint that a form is sent to."""

    stream: ClassVar = OTHER

    def open(self, head: Head, flow: Flow) -> Answer | Intake:
        """See ``Endpoint``."""
        if head.method != b"POST":
            raise Refused(problems.method_not_allowed((b"POST",)))
        check_type(b",".join(head.fields(b"content-type")))

        async def act(form: Form) -> Answer:
            return await self.act(head, form)

        return FormIntake(act)

    async def act(self, head: Head, form: Form) -> Answer:
        """Do what is asked for."""
        raise NotImplementedError


class Login(Posted):
    """Takes the token, and gives a session for it."""

    def __init__(self, guard: AdminGuard) -> None:
        self._guard = guard

    async def act(self, head: Head, form: Form) -> Answer:
        """See ``Posted``."""
        sessions = self._guard.sessions
        sessions.check(head.fields, form("form"), "login")
        if self._guard.wants_token and not self._guard.accepts(form("token").strip().encode("utf-8", "replace")):
            _log.warn("a wrong token was given on the operator's page, by {peer}", peer=head.peer)
            return asks_for_token(self._guard, head, wrong=True)
        return elsewhere("./", (b"Set-Cookie", sessions.begin()))


class Logout(Posted):
    """Ends the session of a browser."""

    def __init__(self, guard: AdminGuard) -> None:
        self._guard = guard

    async def act(self, head: Head, form: Form) -> Answer:
        """See ``Posted``."""
        self._guard.sessions.check(head.fields, form("form"))
        return elsewhere("./", (b"Set-Cookie", self._guard.sessions.forget()))


class Ship(Posted):
    """Ships all that waits."""

    def __init__(self, gateway: GatewayService, guard: AdminGuard) -> None:
        self._gateway = gateway
        self._guard = guard
        self._ship: ShipNow | None = None

    async def act(self, head: Head, form: Form) -> Answer:
        """See ``Posted``."""
        self._guard.sessions.check(head.fields, form("form"))
        if not self._gateway.running or not self._gateway.started.called:
            raise Refused(problems.draining())
        if self._ship is None:
            self._ship = ShipNow(self._gateway.assembly)
        return elsewhere("./?told=ship" if self._ship.begin() else "./?told=ship-running")


class Retry(Posted):
    """Has what is in quarantine tried again at the next start: one thing, or all."""

    def __init__(self, gateway: GatewayService, guard: AdminGuard) -> None:
        self._gateway = gateway
        self._guard = guard

    async def act(self, head: Head, form: Form) -> Answer:
        """See ``Posted``."""
        self._guard.sessions.check(head.fields, form("form"))
        gateway, name = self._gateway, form("name") or None
        if not gateway.running or not gateway.started.called:
            raise Refused(problems.draining())
        try:
            asked, why = await gateway.assembly.retain_threads(
                lambda: ask_for(gateway.fs, gateway.at_start.cache_dir, name)
            )
        except OSError as error:
            raise Refused(
                problems.unavailable("disk_failing", f"it could not be noted: {error.strerror}", 30)
            ) from error
        if not asked:
            raise Refused(Problem(409, "no-retry", "Conflict", why))
        _log.info("an operator asked for {count} files in quarantine to be tried again at the next start", count=asked)
        return elsewhere("./?told=retry#quarantine")


class Preview(OfGateway):
    """``/quarantine?name=…``: what a file there begins with."""

    def __init__(self, gateway: GatewayService, guard: AdminGuard) -> None:
        super().__init__(gateway)
        self._guard = guard

    def answer(self, head: Head) -> Answer | Intake:
        """See ``Asked``."""
        return Later(self._told(self.watch, _asked(head, "name"), self._guard.sessions.form(head.fields)))

    async def _told(self, watch: Watch, name: str, token: str) -> Answer:
        fs, cache_dir = self.gateway.fs, self.gateway.at_start.cache_dir
        root = os.path.join(cache_dir, "quarantine")

        def made() -> str | None:
            found = beginning(fs, root, name, PREVIEWED)
            if found is None:
                return None
            kind, lines = readable(found.data)
            size, cut = plural(found.size, "byte"), found.size > len(found.data)
            one = next((one for one in listing(fs, cache_dir) if told(one.name) == name), None)
            why = "it is no file that was set aside" if one is None else hindrance(one)
            wanted = one is not None and one.wanted
            return page.preview(page.Piece(found.name, size, lines, kind, cut, why, wanted), token, ADDRESSES)

        try:
            text = await watch.parts.retain_threads(made)
        except OSError as error:
            detail = f"it cannot be read: {error.strerror or error}"
            raise Refused(Problem(502, "unreadable", "Unreadable", detail)) from error
        if text is None:
            raise Refused(
                Problem(404, "not-in-quarantine", "Not found", "nothing of that name is in quarantine, or no longer")
            )
        return shown(text)


class Object(OfGateway):
    """``/object?stream=…&key=…``: leads to one of the objects that were shipped last, where links are allowed."""

    def answer(self, head: Head) -> Answer | Intake:
        """See ``Asked``."""
        if not self.gateway.settings.admin.links:
            raise Refused(Problem(403, "no-links", "Forbidden", "links to objects are not allowed; see admin.links"))
        return Later(self._told(self.watch, _asked(head, "stream"), _asked(head, "key")))

    async def _told(self, watch: Watch, stream: str, key: str) -> Answer:
        if (stream, key) not in {(one.stream.value, one.key) for one in watch.parts.recent.objects}:
            raise Refused(
                Problem(404, "not-shipped-lately", "Not found", "this is none of the objects that were shipped last")
            )
        store = watch.parts.outlets.stores[Stream(stream)]
        if not isinstance(store, Links):
            raise Refused(
                Problem(404, "no-links", "Not found", "this store is a folder; the path of the object is on the page")
            )
        try:
            return elsewhere(await store.link(key, LINK_LASTS))
        except StoreError as error:
            raise Refused(problems.unavailable("no-credentials", f"no link can be signed: {error}", 30)) from error


def _asked(head: Head, name: str) -> str:
    """A value of the query; empty: it is not there once, or is not UTF-8."""
    try:
        found = parse_qs(head.query.decode("latin-1"), errors="strict", max_num_fields=20).get(name, [])
    except ValueError:
        return ""
    return found[0] if len(found) == 1 else ""
