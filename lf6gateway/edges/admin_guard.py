"""Who may look at the operators' pages. Owns the check of the name a request is for, against pages that a browser was
talked into asking for (DNS rebinding), and of the token; must never tell what is wrong with one."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from hashlib import sha256
from ipaddress import ip_address
from time import time
from typing import Final

from lf6gateway.edges import problems
from lf6gateway.edges.message import Answer, Endpoint, Fields, Flow, Head, Intake
from lf6gateway.edges.page_session import Sessions
from lf6gateway.values.problem import Problem, Refused

_WANTED: Final = Problem(
    401,
    "admin-token",
    "Unauthorized",
    "send the token of admin.token as Authorization: Bearer",
    headers=((b"WWW-Authenticate", b'Bearer realm="lf6gateway admin"'),),
)


class AdminGuard:
    """See the module. Both may be changed while it serves.

    :param token: what must be shown; ``None``: nothing.
    :param hosts: names that requests may be for besides addresses and ``localhost``; ``None``: any.
    """

    def __init__(self, token: str | None, hosts: Iterable[str] | None) -> None:
        self.sessions = Sessions(time)
        self._digest: bytes | None = None
        self.set_token(token)
        self.set_hosts(hosts)

    def set_token(self, token: str | None) -> None:
        """What must be shown from now on; who has shown another one is asked again."""
        before, self._digest = self._digest, None if token is None else sha256(token.encode("utf-8")).digest()
        if before != self._digest:
            self.sessions.end_all()

    @property
    def wants_token(self) -> bool:
        """Whether anything must be shown."""
        return self._digest is not None

    def accepts(self, shown: bytes) -> bool:
        """Whether this is the token."""
        return self._digest is not None and hmac.compare_digest(sha256(shown).digest(), self._digest)

    def set_hosts(self, hosts: Iterable[str] | None) -> None:
        """Names that requests may be for from now on."""
        self._hosts = None if hosts is None else frozenset(host.lower() for host in hosts)

    def check(self, fields: Fields, *, token: bool = True) -> None:
        """Let a request pass.

        :param token: whether it takes one, where one is set.
        :raises Refused: it must not.
        """
        self._check_host(fields(b"host"))
        if token and self._digest is not None and not self.sessions.known(fields):
            sent = fields(b"authorization")
            kind, _, value = sent[0].partition(b" ") if len(sent) == 1 else (b"", b"", b"")
            shown = value.strip() if kind.lower() == b"bearer" else b""
            if not self.accepts(shown):
                raise Refused(problems.bad_token() if shown else _WANTED)

    def _check_host(self, sent: Iterable[bytes]) -> None:
        for host in sent:
            if self._hosts is not None and not self._known(host.decode("latin-1").lower()):
                raise Refused(
                    Problem(
                        421,
                        "wrong-host",
                        "Misdirected request",
                        "this listener is not known under the name in Host; ask by an address or as localhost, or add "
                        "the name to admin.hosts",
                    )
                )

    def _known(self, host: str) -> bool:
        name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
        if name == "localhost" or (self._hosts is not None and name.rstrip(".") in self._hosts):
            return True
        try:
            ip_address(name)
        except ValueError:
            return False
        return True


class Guarded:
    """An endpoint that answers whoever may look.

    :param token: whether it takes the token, where one is set.
    """

    def __init__(self, inside: Endpoint, guard: AdminGuard, *, token: bool = True) -> None:
        self._inside = inside
        self._guard = guard
        self._token = token
        self.stream = inside.stream

    def open(self, head: Head, flow: Flow) -> Answer | Intake:
        """See ``Endpoint``."""
        self._guard.check(head.fields, token=self._token)
        return self._inside.open(head, flow)
