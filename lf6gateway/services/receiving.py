"""What the edge needs of whoever takes data, be it the gateway itself or a worker's line to it. Owns the interfaces
alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred

from lf6gateway.disk.space import Refusal
from lf6gateway.values.stream import Stream


class TakesSpecimen(Protocol):
    """One specimen that comes in (``SpecimenReception``)."""

    @property
    def waiting(self) -> int:
        """Bytes that wait for the disk."""

    def write(self, data: bytes) -> None:
        """Queue some more of the body."""

    def when_drained(self) -> Deferred[None]:
        """Fires when little waits for the disk."""

    async def commit(self) -> None:
        """Return once it is on stable storage."""

    def abort(self) -> Deferred[None]:
        """Forget it."""


class Takes(Protocol):
    """The door (``Receiver``)."""

    def refusal(self, incoming: int = 0) -> Refusal | None:
        """Why nothing is taken now."""

    def admission(self, incoming: int) -> Refusal | None:
        """As ``refusal``, for a request that is about to be begun."""

    def repeated(self, stream: Stream, user: str, key: str | None) -> bool:
        """Whether it is known already that a request with this key was kept."""

    def keep(
        self,
        stream: Stream,
        user: str,
        lines: bytes,
        count: int,
        request_id: str,
        told: Callable[[Exception | None], None],
    ) -> None:
        """Keep the records of one request without a key, for whoever has thousands a second."""

    async def records(
        self, stream: Stream, *, user: str, lines: bytes, count: int, key: str | None, request_id: str
    ) -> None:
        """Keep the records of one request."""

    def specimen(
        self,
        *,
        user: str,
        uri: str,
        content_type: str | None,
        key: str | None,
        request_id: str,
        length: int | None = None,
    ) -> TakesSpecimen:
        """Begin to keep a specimen."""
