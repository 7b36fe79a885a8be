"""How a client goes about it. Owns every option, its default and its bounds; must never read a file or the
environment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from lf6gateway.client.events import Told

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, kw_only=True)
class Options:
    """Sizes in bytes, spans in seconds.

    :param queue: the folder of the queue; ``None``: ``lf6gateway-client`` under ``$XDG_STATE_HOME``
        (``~/.local/state``).
    :param identity: whose queue it is; records that were left behind are only sent by a client of the same identity.
        ``None``: the URL and the user or token. Name it where tokens or URLs change over time.
    :param max_bytes: the most the queue takes up on disk, files counted in blocks of 4 KiB.
    :param when_full: ``refuse`` raises ``QueueFull``; ``drop-oldest`` makes room by dropping the oldest, and tells.
    :param max_age: what waits longer is dropped, and told; ``None``: nothing is.
    :param when_doubtful: what becomes of what may have been kept more than an hour ago: ``send`` it, perhaps twice, or
        ``set-aside``.
    :param batch_records: a batch of so many records is sent.
    :param batch_bytes: no batch is larger before compression, so no record either.
    :param batch_seconds: a batch is sent when its first record has waited so long.
    :param max_unwritten_bytes: the most that waits in memory for the disk.
    :param wait: how long a call waits for its record to be on disk.
    :param specimen_wait: the same for a specimen, which is copied.
    :param compress: send batches as gzip.
    :param timeout: how long the network may be silent within a request.
    :param retry_min: the first pause after a failure; it doubles from one to the next, with jitter.
    :param retry_max: the longest pause after failures.
    :param retry_after_max: the longest pause that a ``Retry-After`` is believed.
    :param exit_wait: how long the end of the program waits for what is left to be sent.
    :param ca_file: the authorities that may sign the gateway's certificate (PEM); ``None``: the system's.
    :param certificate: the client's own certificate (PEM), and ``key`` its private key where that is another file.
    :param proxy: URL of an HTTP proxy; ``None``: as the environment says (``https_proxy``, ``no_proxy``); empty: none.
    :param default: makes a JSON value of what is none, as in ``json.dumps``.
    :param told: told each ``Event``, in a thread of the client's; it must not wait for the client.
    """

    queue: str | None = None
    identity: str | None = None
    max_bytes: int = 256 * MIB
    when_full: Literal["refuse", "drop-oldest"] = "refuse"
    max_age: float | None = None
    when_doubtful: Literal["send", "set-aside"] = "send"
    batch_records: int = 1000
    batch_bytes: int = MIB
    batch_seconds: float = 5.0
    max_unwritten_bytes: int = 8 * MIB
    wait: float = 1.0
    specimen_wait: float = 30.0
    compress: bool = True
    timeout: float = 30.0
    retry_min: float = 0.5
    retry_max: float = 60.0
    retry_after_max: float = 86400.0
    exit_wait: float = 5.0
    ca_file: str | None = None
    certificate: str | None = None
    key: str | None = None
    proxy: str | None = None
    default: Callable[[Any], Any] | None = None
    told: Told | None = None

    def __post_init__(self) -> None:
        for name in ("max_bytes", "batch_records", "batch_bytes", "max_unwritten_bytes", "timeout", "retry_min"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be more than 0, not {getattr(self, name)}")
        for name in ("batch_seconds", "wait", "specimen_wait", "exit_wait"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, and is {getattr(self, name)}")
        for name, words in (("when_full", ("refuse", "drop-oldest")), ("when_doubtful", ("send", "set-aside"))):
            if getattr(self, name) not in words:
                raise ValueError(f"{name} is {' or '.join(words)}, not {getattr(self, name)!r}")
        if self.retry_max < self.retry_min:
            raise ValueError("retry_max is less than retry_min")
        if self.key is not None and self.certificate is None:
            raise ValueError("key is given without certificate")
