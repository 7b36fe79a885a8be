"""TLS on the public port: which versions and ciphers, whose certificate, and whom a client's certificate names. Owns
the certificate in force; must never end a connection because there is another one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from cryptography.x509.oid import NameOID
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IProtocolFactory
from twisted.internet.ssl import AcceptableCiphers, CertificateOptions, TLSVersion
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from lf6gateway.services.watched_file import WatchedFile
from lf6gateway.values.settings_access import Tls
from lf6gateway.values.username import BadUsername, check_username

_log = Logger()

# What TLS 1.2 may use: forward secrecy and authenticated encryption. Those of TLS 1.3 are all of that kind.
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
LARGEST: Final = 4 << 20
_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


class CannotSpeakTls(Exception):
    """The files of ``http.tls`` cannot be used at the start; the text says why."""


def certificates(pem: bytes, what: str) -> list[crypto.X509]:
    """The certificates in a PEM text, in their order.

    :raises ValueError: there is none, or one is broken.
    """
    try:
        found = [crypto.load_certificate(crypto.FILETYPE_PEM, part) for part in _PEM.findall(pem)]
    except (crypto.Error, ValueError) as error:
        raise ValueError(f"{what} holds a certificate that cannot be read: {_reason(error)}") from None
    if not found:
        raise ValueError(f"{what} holds no certificate; it begins with -----BEGIN CERTIFICATE-----")
    return found


def tls_options(tls: Tls) -> CertificateOptions:
    """What the files say now, tried out. Blocks.

    :raises OSError: one cannot be read.
    :raises ValueError: one is not as it must be, or they do not belong together.
    """
    assert tls.certificate is not None
    assert tls.key is not None
    own, *chain = certificates(_read(tls.certificate), f"http.tls.certificate {tls.certificate}")
    try:
        # Without an empty passphrase OpenSSL would ask for one on the terminal.
        key = crypto.load_privatekey(crypto.FILETYPE_PEM, _read(tls.key), passphrase=b"")
    except (crypto.Error, ValueError, TypeError):
        raise ValueError(f"http.tls.key {tls.key} holds no private key, or one with a passphrase") from None
    authorities = None
    if tls.client_ca is not None:
        authorities = certificates(_read(tls.client_ca), f"http.tls.client_ca {tls.client_ca}")
    options = CertificateOptions(
        privateKey=key,
        certificate=own,
        extraCertChain=chain,
        verify=authorities is not None,
        caCerts=authorities,
        requireCertificate=tls.client_certificate == "required",
        raiseMinimumTo=TLSVersion.TLSv1_2,
        acceptableCiphers=AcceptableCiphers.fromOpenSSLCipherString(CIPHERS),
    )
    try:
        options.getContext()
    except SSL.Error as error:
        raise ValueError(
            f"http.tls.key {tls.key} is not the key of http.tls.certificate {tls.certificate}: {_reason(error)}"
        ) from None
    return options


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(LARGEST)


def _reason(error: Exception) -> str:
    reasons = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return "; ".join(str(one[-1]) for one in reasons if one) or str(error) or type(error).__name__


@implementer(IOpenSSLServerConnectionCreator)
class CurrentTls:
    """The certificate in force. Connections keep the one they began with.

    :param offload: where files are read.
    """

    def __init__(self, tls: Tls, *, clock: Any, offload: Any) -> None:
        paths = [path for path in (tls.certificate, tls.key, tls.client_ca) if path is not None]
        self._clock = clock
        self._options: CertificateOptions | None = None
        self._files = WatchedFile(
            "the certificate of http.tls", paths, lambda: tls_options(tls), self._taken, clock=clock, offload=offload
        )
        self.reread = self._files.reread
        self.stop = self._files.stop

    async def start(self) -> None:
        """Read the files, and watch them.

        :raises CannotSpeakTls: they cannot be used.
        """
        try:
            self._taken(await self._files.begin())
        except OSError as error:
            raise CannotSpeakTls(f"http.tls: {error.filename} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise CannotSpeakTls(str(error)) from error

    def _taken(self, options: CertificateOptions) -> None:
        self._options = options
        certificate = options.certificate
        assert certificate is not None
        _log.info(
            "new connections are given the certificate {serial}, which is good until {until}",
            serial=f"{certificate.get_serial_number():x}",
            until=certificate.to_cryptography().not_valid_after_utc.isoformat(),
        )

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """For a new connection, the certificate of now."""
        assert self._options is not None
        return self._options.serverConnectionForTLS(protocol)

    def around(self, factory: IProtocolFactory) -> IProtocolFactory:
        """A factory whose connections speak TLS."""
        return TLSMemoryBIOFactory(self, False, factory, self._clock)


def certified_user(transport: Any) -> str | None:
    """The user whom the certificate of a connection's client names: the common name of its subject. ``None``: the
    client has shown none; empty: one that names no user."""
    ask = getattr(transport, "getPeerCertificate", None)
    certificate = None if ask is None else ask()
    if certificate is None:
        return None
    names: Sequence[Any] = certificate.to_cryptography().subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if len(names) != 1 or not isinstance(names[0].value, str):
        return ""
    name = names[0].value
    try:
        check_username(name)
    except BadUsername:
        return ""
    return name
