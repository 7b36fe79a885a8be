"""One connection to a gateway, by the standard library's ``http.client``: requests go out one at a time, and for each
it is known whether anything of it may have arrived. Owns the socket; must never try again by itself, save on a
connection that had gone stale.

``http.client`` is enough: it streams files, keeps connections and speaks through proxies; a larger library would be one
more thing that an application has to agree on with this one."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import BinaryIO, Final

from lf6gateway.client.answers import Answer
from lf6gateway.client.options import Options
from lf6gateway.client.target import Target, tls_of

STALE: Final = 30.0
"""Seconds after which an unused connection is not trusted any more; the gateway closes it after 75 s."""
_MOST_BODY: Final = 64 * 1024


class Unanswered(Exception):
    """No answer came. ``sent``: whether something of the request may have arrived."""

    def __init__(self, error: Exception, *, sent: bool) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.error = error
        self.sent = sent


class Connection:
    """See the module. One thread at a time sends.

    :raises OSError: a certificate file cannot be read.
    """

    def __init__(self, target: Target, options: Options) -> None:
        self._target = target
        self._timeout = options.timeout
        self._tls = tls_of(options) if target.scheme == "https" else None
        self._http: http.client.HTTPConnection | None = None
        self._used = 0.0

    def send(self, path: str, fields: Mapping[str, bytes | str], body: bytes | BinaryIO, length: int) -> Answer:
        """Send one request and wait for its answer.

        :raises Unanswered: none came.
        """
        fresh = self._http is None or time.monotonic() - self._used > STALE
        try:
            return self._send(path, fields, body, length, fresh=fresh)
        except Unanswered as unanswered:
            gone = (ConnectionError, http.client.RemoteDisconnected)
            if fresh or not isinstance(unanswered.error, gone):
                raise
            # The gateway had closed it between two requests. What may have arrived has its key with it.
            if not isinstance(body, bytes):
                body.seek(-length, os.SEEK_END)
            return self._send(path, fields, body, length, fresh=True)

    def _send(
        self, path: str, fields: Mapping[str, bytes | str], body: bytes | BinaryIO, length: int, *, fresh: bool
    ) -> Answer:
        if fresh:
            self.close()
            try:
                self._http = self._connect()
            except (OSError, http.client.HTTPException) as error:
                self.close()
                raise Unanswered(error, sent=False) from error
        connection = self._http
        if connection is None:  # closed by another thread
            raise Unanswered(OSError("the connection was closed"), sent=False)
        try:
            try:
                plain_proxy = self._target.proxy is not None and self._tls is None
                whole = {**fields, "Content-Length": str(length)}
                if plain_proxy and self._target.proxy is not None and self._target.proxy.authorization:
                    whole["Proxy-Authorization"] = self._target.proxy.authorization
                url = (self._target.url if plain_proxy else self._target.path) + path
                connection.request("PUT", url, body, whole)
            except (BrokenPipeError, ConnectionResetError):
                # Who refuses a body early answers and closes; that answer may be there.
                if connection.sock is None:
                    raise
            answer = connection.getresponse()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            found = Answer(answer.status, headers, answer.read(_MOST_BODY))
            if answer.read(1):
                self.close()
        except (OSError, http.client.HTTPException, AttributeError, ValueError) as error:
            # The last two: another thread has closed it meanwhile.
            self.close()
            raise Unanswered(error, sent=True) from error
        self._used = time.monotonic()
        if answer.will_close:
            self.close()
        return found

    def _connect(self) -> http.client.HTTPConnection:
        target, proxy = self._target, self._target.proxy
        host, port = (target.host, target.port) if proxy is None else (proxy.host, proxy.port)
        made: http.client.HTTPConnection
        if self._tls is None:
            made = http.client.HTTPConnection(host, port, timeout=self._timeout, blocksize=65536)
        else:
            made = http.client.HTTPSConnection(host, port, timeout=self._timeout, context=self._tls, blocksize=65536)
            if proxy is not None:
                proof = {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}
                made.set_tunnel(target.host, target.port, proof)
        made.connect()
        made.auto_open = 0
        return made

    def close(self) -> None:
        """End the connection, also under a request of another thread."""
        connection, self._http = self._http, None
        sock = None if connection is None else connection.sock
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        if connection is not None:
            with suppress(OSError, ssl.SSLError):
                connection.close()

    def forget(self) -> None:
        """In a process that was forked: let go of the socket, which is the parent's, without a word to the gateway."""
        connection, self._http = self._http, None
        if connection is not None and connection.sock is not None:
            with suppress(OSError):
                os.close(connection.sock.detach())
