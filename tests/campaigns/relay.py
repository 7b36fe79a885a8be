"""A TCP relay in front of the S3 server that does to the connections what a network does: cuts, stalls, trickles, resets
in the middle of a body, loses answers, passes on half of them. What the server has is kept, as a real S3 keeps it."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time

_CHUNK = 1 << 16
MODES = ("pass", "cut", "lose answers", "half answers", "late answers", "stall", "trickle", "reset in bodies")


class Relay:
    """Passes connections on, in the way that ``mode`` says at that moment.

    :param late_s: how long «late answers» are held.
    """

    def __init__(self, target: int, *, late_s: float = 3.0, seed: int = 1) -> None:
        self._target = target
        self._late_s = late_s
        self._chance = random.Random(seed)
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = int(self._listening.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        self._mode = "pass"
        self.hits = 0
        """How often something was done to a connection."""
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def mode(self) -> str:
        return self._mode

    @mode.setter
    def mode(self, mode: str) -> None:
        if mode not in MODES:
            raise ValueError(mode)
        with self._guard:
            self._mode = mode
            if mode == "cut":
                for one in self._open:
                    with contextlib.suppress(OSError):
                        one.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """End every connection in the middle of what it does, and every new one at once."""
        if self._mode != "cut":
            self.mode = "cut"

    def join(self) -> None:
        """Pass connections on again."""
        self.mode = "pass"

    def _accept(self) -> None:
        while True:
            client, _ = self._listening.accept()
            try:
                server = None if self._mode == "cut" else socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                server = None
            if server is None:
                self.hits += 1
                client.close()
                continue
            with self._guard:
                self._open |= {client, server}
            threading.Thread(target=self._requests, args=(client, server), daemon=True).start()
            threading.Thread(target=self._answers, args=(server, client), daemon=True).start()

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(_CHUNK):
                mode = self._mode
                if mode == "reset in bodies" and self._chance.random() < 0.3:
                    self.hits += 1
                    server.sendall(data[: len(data) // 2])
                    _reset(client)
                    break
                self._wait(mode)
                for piece in self._pieces(data, mode):
                    server.sendall(piece)
        self._end(client, server)

    def _answers(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(_CHUNK):
                mode = self._mode
                if mode == "lose answers":
                    self.hits += 1
                    _reset(client)
                    break
                if mode == "half answers":
                    self.hits += 1
                    client.sendall(data[: len(data) // 2])
                    break
                if mode == "late answers":
                    self.hits += 1
                    time.sleep(self._late_s)
                self._wait(mode)
                for piece in self._pieces(data, mode):
                    client.sendall(piece)
        self._end(server, client)

    def _wait(self, mode: str) -> None:
        if mode == "stall":
            self.hits += 1
            while self._mode == "stall":
                time.sleep(0.02)

    def _pieces(self, data: bytes, mode: str) -> list[bytes]:
        if mode != "trickle":
            return [data]
        self.hits += 1
        time.sleep(0.001)
        return [data[start : start + 100] for start in range(0, len(data), 100)]

    def _end(self, *sockets: socket.socket) -> None:
        with self._guard:
            self._open.difference_update(sockets)
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
