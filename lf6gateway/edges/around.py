"""What comes before HTTP on a listening socket: TLS, and outside of it the header of a proxy. Owns which of them, by
the kind of the socket; must never look into what they carry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.logger import Logger

from lf6gateway.edges.proxied import ProxiedFactory
from lf6gateway.edges.tls import CurrentTls
from lf6gateway.values.networks import Networks
from lf6gateway.values.settings import Settings

_log = Logger()

ENCRYPTED: Final = frozenset({"tcp", "tcp6", "systemd", "fd"})
"""The kinds of endpoints that speak TLS where ``http.tls`` is set; a ``unix`` one leads to this machine alone, and an
``ssl`` one has a certificate of its own."""


class Around:
    """See the module.

    :param settings: those that the process began with.
    :param trusted: the proxies that are trusted now.
    :param offload: where the files of ``http.tls`` are read.
    """

    def __init__(self, settings: Settings, trusted: Callable[[], Networks], *, clock: Any, offload: Any) -> None:
        self._proxied = settings.http.proxy_protocol == "on"
        self._trusted = trusted
        tls = settings.http.tls
        self._tls = None if tls.certificate is None else CurrentTls(tls, clock=clock, offload=offload)
        self.certified = self._tls is not None and tls.client_ca is not None
        """Whether clients show certificates."""

    async def start(self) -> None:
        """Read what is needed.

        :raises CannotSpeakTls: it cannot be used.
        """
        if self._tls is not None:
            await self._tls.start()

    def factory(self, kind: str, factory: IProtocolFactory) -> IProtocolFactory:
        """A factory with what stands around it on a socket of a kind (``tcp``, ``unix``, ...)."""
        if self._tls is not None and kind in ENCRYPTED:
            factory = self._tls.around(factory)
        return ProxiedFactory(factory, self._trusted) if self._proxied else factory

    def reread(self) -> None:
        """Read the certificate again, in the background; connections keep the one they began with."""
        if self._tls is not None:
            Deferred.fromCoroutine(self._tls.reread()).addErrback(
                lambda failure: _log.failure("the certificate could not be read again", failure)
            )

    async def stop(self) -> None:
        """Let go of everything."""
        if self._tls is not None:
            await self._tls.stop()
