"""A TCP relay in front of the S3 server that can be cut: for the gateway the server is then dead, and what the server has
is kept. moto keeps its objects in memory, so killing it in earnest would lose what a real S3 does not lose."""

from __future__ import annotations

import contextlib
import socket
import threading

_CHUNK = 1 << 16


class Relay:
    """Passes connections on until it is cut, and again when it is joined."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        self._cut = False
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End every connection in the middle of what it does, and every new one at once."""
        with self._guard:
            self._cut = True
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def join(self) -> None:
        """Pass connections on again."""
        with self._guard:
            self._cut = False

    def _accept(self) -> None:
        while True:
            client, _ = self._listening.accept()
            with self._guard:
                refused = self._cut
            try:
                server = None if refused else socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                server = None
            if server is None:
                client.close()
                continue
            with self._guard:
                self._open |= {client, server}
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                sink.sendall(data)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        with self._guard:
            self._open -= {source, sink}
        source.close()
        sink.close()
