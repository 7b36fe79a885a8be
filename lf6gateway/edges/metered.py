"""A body that is counted as it comes. Owns the difference between what was announced and what came; must never hold any
of it up."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from twisted.python.failure import Failure

from lf6gateway.edges.message import Answer, Intake


@define
class Metered:
    """An intake around another one.

    :param reserved: how much of it was counted already, before it came.
    :param count: counts bytes; negative ones are taken back.
    """

    _inside: Intake
    _reserved: int
    _count: Callable[[int], None]
    _received: int = field(default=0, init=False)

    def tell(self, answered: Callable[[Answer], None], failed: Callable[[Failure], None]) -> None:
        self._inside.tell(answered, failed)

    def data(self, chunk: bytes) -> None:
        self._received += len(chunk)
        if self._received > self._reserved:
            self._count(self._received - self._reserved)
            self._reserved = self._received
        self._inside.data(chunk)

    def whole(self) -> None:
        self._inside.whole()

    def abort(self) -> None:
        if self._received < self._reserved:
            self._count(self._received - self._reserved)
            self._reserved = self._received
        self._inside.abort()
