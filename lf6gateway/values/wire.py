"""What the gateway and the worker processes that serve its port say to each other. Owns the messages and their bytes;
must never know the socket that carries them.

A message on the wire is its length (u32, little-endian) and MessagePack. Both ends are of one installation, so there is
no version: a worker is started by the gateway it talks to."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

import msgspec

from lf6gateway.values.allowance import Exceeded
from lf6gateway.values.traffic import TrafficMore

_LENGTH: Final = struct.Struct("<I")


class _Message(msgspec.Struct, frozen=True, array_like=True):
    """One message."""


class Records(_Message, frozen=True, tag=1):
    """To the gateway: keep the records of one request. ``id`` comes back in the ``Outcome``."""

    id: int
    stream: str
    user: str
    lines: bytes
    count: int
    key: str | None
    request_id: str


class Whole(_Message, frozen=True, tag=2):
    """To the gateway: the specimen in the file ``path`` (``.part``) is whole and synced; give it its name."""

    id: int
    path: str
    size: int
    user: str
    key: str | None
    received_ns: int


class Grew(_Message, frozen=True, tag=3):
    """To the gateway: the unfinished specimen in the file ``path`` takes ``size`` bytes by now."""

    path: str
    size: int


class Gone(_Message, frozen=True, tag=4):
    """To the gateway: the unfinished specimen ``path`` was removed."""

    path: str


class DiskFailed(_Message, frozen=True, tag=5):
    """To the gateway: a specimen could not be written."""

    detail: str


class Listening(_Message, frozen=True, tag=6):
    """To the gateway: connections are taken from now on."""


class May(_Message, frozen=True, tag=9):
    """To the gateway: may a request come in? Without a ``user`` it is asked by its address, before it is known whose it
    is; with one it counts for that user, with the ``size`` that its body says it has. ``id`` comes back in the
    ``Verdict``."""

    id: int
    address: str
    user: str | None
    stream: str | None
    size: int | None


class Used(_Message, frozen=True, tag=10):
    """To the gateway: so many further bytes of a body came, or (negative) did not come after all."""

    address: str
    user: str
    stream: str
    size: int


class Seen(_Message, frozen=True, tag=11):
    """To the gateway: what this worker has seen since it told last.

    :param refused: who was not let in, as ``Access`` counts it.
    :param syncs: what its syncs took, as ``Syncs`` counts it.
    :param lag: how late its reactor was, as counts by the bounds of a histogram, and their sum in seconds.
    :param connections: how many it holds now.
    :param pools: name, threads, jobs that run, that wait, and that have ended, of each of its pools.
    """

    traffic: TrafficMore
    refused: dict[str, int]
    syncs: dict[str, tuple[list[int], float]]
    lag: tuple[list[int], float]
    connections: int
    pools: list[tuple[str, int, int, int, int]]


class Begin(_Message, frozen=True, tag=16):
    """To the worker: the settings in force, as YAML, its share of the limits, and how its log lines look.

    :param sockets: address family and kind (``tcp``, ``unix``, ...) of each listening socket that was handed over, in
        the order of their descriptors.
    """

    settings: str
    workers: int
    root: str
    log_format: str
    sockets: list[tuple[int, str]]


class Changed(_Message, frozen=True, tag=17):
    """To the worker: the settings were read again."""

    settings: str


class State(_Message, frozen=True, tag=18):
    """To the worker: why the gateway takes nothing now; ``reason`` is empty while it takes data, ``left`` bytes at
    most."""

    left: int
    reason: str = ""
    detail: str = ""
    retry_after: int = 1


class Outcome(_Message, frozen=True, tag=19):
    """To the worker: what became of a request. ``reason`` is empty where all of it is on stable storage, now or from an
    earlier request with its key (``repeated``)."""

    id: int
    repeated: bool = False
    reason: str = ""
    detail: str = ""
    retry_after: int | None = None


class Drain(_Message, frozen=True, tag=20):
    """To the worker: take no new connection, answer what is under way, and end."""


class Verdict(_Message, frozen=True, tag=25):
    """To the worker: what a request exceeds; ``None`` where it may come in."""

    id: int
    exceeded: Exceeded | None


class Reopen(_Message, frozen=True, tag=26):
    """To the worker: files of the gateway's were renamed away: go on with new ones."""


FromWorker = Records | Whole | Grew | Gone | DiskFailed | Listening | May | Used | Seen
ToWorker = Begin | Changed | State | Outcome | Drain | Verdict | Reopen
Message = FromWorker | ToWorker

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Message).decode


def encode(message: Message) -> bytes:
    """A message with its length in front."""
    data = _encode(message)
    return _LENGTH.pack(len(data)) + data


class Reader:
    """Bytes go in as they come, messages come out."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that are whole now.

        :raises ValueError: this is not what ``encode`` makes.
        """
        buffer = self._buffer
        buffer += data
        at = 0
        try:
            while len(buffer) - at >= _LENGTH.size:
                (length,) = _LENGTH.unpack_from(buffer, at)
                end = at + _LENGTH.size + length
                if len(buffer) < end:
                    break
                message = _decode(memoryview(buffer)[at + _LENGTH.size : end])
                at = end
                yield message
        finally:
            # Once for all of them; a view of the buffer must not be alive.
            del buffer[:at]
