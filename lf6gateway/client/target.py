"""Where a gateway is and how it is reached. Owns the reading of its URL and of the proxy's; must never open a
connection, nor show a password."""

from __future__ import annotations

import base64
import ssl
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

from lf6gateway.client.options import Options
from lf6gateway.version import __version__

Who: TypeAlias = str | Callable[[], str]
"""A user's name, a token, or what gives a token that is good now."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy, and what proves to it who we are."""

    host: str
    port: int
    authorization: str | None


@dataclass(frozen=True, slots=True)
class Target:
    """A gateway.

    :param path: what its paths begin with; empty, or without a slash at its end.
    """

    scheme: str
    host: str
    port: int
    path: str
    proxy: Proxy | None

    @property
    def url(self) -> str:
        """Its URL, spelt in one way."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"


def target_of(url: str, options: Options) -> Target:
    """Read a gateway's URL, such as ``https://insights.example.com``.

    :raises ValueError: it is none.
    """
    scheme, host, port, path, _ = _parts(url, "the gateway's URL")
    return Target(scheme, host, port, path, _proxy(scheme, host, port, options))


def _parts(url: str, what: str) -> tuple[str, str, int, str, str | None]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(f"{what} is none; write it like https://insights.example.com") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or parts.query or parts.fragment:
        raise ValueError(f"{what} is none of http or https; write it like https://insights.example.com")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"{what} holds a character that no URL has")
    login = None
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80), parts.path.rstrip("/"), login


def _proxy(scheme: str, host: str, port: int, options: Options) -> Proxy | None:
    url = options.proxy
    if url is None:
        if urllib.request.proxy_bypass(f"{host}:{port}"):
            return None
        url = urllib.request.getproxies().get(scheme)
    if not url:
        return None
    kind, at, on, _, login = _parts(url if "://" in url else f"http://{url}", "the proxy's URL")
    if kind != "http":
        raise ValueError("the proxy's URL is not of http; proxies are spoken to without TLS")
    proof = None if login is None else "Basic " + base64.b64encode(login.encode()).decode("ascii")
    return Proxy(at, on, proof)


def identity_of(target: Target, who: Who, options: Options) -> str:
    """The name of the folder whose records a client may send."""
    named = options.identity
    if named is None:
        named = f"{target.url}\n{who if isinstance(who, str) else ''}"
    return sha256(named.encode()).hexdigest()[:16]


def fields_of(who: Who) -> dict[str, bytes | str]:
    """The header fields of every request.

    :raises ValueError: nobody is named, or by what no header field can hold.
    """
    name = (who if isinstance(who, str) else who()).encode()
    if not name.strip() or any(byte < 0x20 or byte == 0x7F for byte in name):
        raise ValueError("the user or token is empty or holds a control character")
    return {"User-Token": name, "User-Agent": f"lf6gateway-client/{__version__}"}


def tls_of(options: Options) -> ssl.SSLContext:
    """How the gateway is believed, and what is shown to it.

    :raises OSError: a file cannot be read, or is no certificate.
    """
    context = ssl.create_default_context(cafile=options.ca_file)
    if options.certificate is not None:
        context.load_cert_chain(options.certificate, options.key)
    return context
