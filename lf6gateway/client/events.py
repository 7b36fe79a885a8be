"""What a client tells about what it does with what it was given. Owns the values; must never hold a token."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["dropped", "set-aside", "doubtful", "refused", "lost", "strangers"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that the owner of the data should know.

    ``kind`` is one of

    - ``dropped``: removed unsent, by ``when_full`` or ``max_age``;
    - ``set-aside``: the gateway will never take it; it lies at ``path`` with a note of why;
    - ``doubtful``: it may have been kept an hour ago or more, and is sent again, so it may be there twice (or, with
      ``when_doubtful="set-aside"``, lies at ``path``);
    - ``refused``: the gateway takes nothing of this stream from this sender (a wrong token, a wrong address); it is
      tried again, ever more seldom;
    - ``lost``: the disk failed with records whose owner had been told ``False``;
    - ``strangers``: what other identities left in the same queue, which this client must not send.

    :param stream: ``usage``, ``error``, ``specimen``, or empty where it is about all.
    :param records: how many records or specimens, as far as it is known.
    """

    kind: Kind
    stream: str
    records: int
    detail: str
    path: str | None = None


Told: TypeAlias = Callable[[Event], object]


@dataclass(frozen=True, slots=True)
class Statistics:
    """Figures since this client began; records and specimens each count one.

    :param sent: acknowledged by the gateway.
    :param dropped: removed unsent, by ``when_full`` or ``max_age``.
    :param set_aside: refused for good, or doubtful and kept back.
    :param doubtful: sent again after the hour in which the gateway knows keys.
    :param lost: not kept by a disk that failed after their owner had been told ``False``.
    :param retries: attempts beyond the first of each request.
    :param waiting_bytes: what the queue takes up on disk, what was set aside included.
    :param waiting: batches and specimens that wait to be sent.
    :param unwritten: records that wait in memory for the disk.
    """

    sent: int = 0
    dropped: int = 0
    set_aside: int = 0
    doubtful: int = 0
    lost: int = 0
    retries: int = 0
    waiting_bytes: int = 0
    waiting: int = 0
    unwritten: int = 0
