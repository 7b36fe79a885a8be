"""What the gateway can know of the port that is served for it. Owns the interface alone: the port is the edge's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from lf6gateway.services.threads import PoolFigures


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """A process that serves the port.

    :param listening: whether it takes connections.
    :param since_s: for how many seconds it has been there.
    :param pools: its threads, as it told last.
    """

    pid: int
    listening: bool
    since_s: float
    connections: int
    pools: tuple[PoolFigures, ...]


class Front(Protocol):
    """Who serves the public port."""

    @property
    def addresses(self) -> Sequence[str]:
        """Where connections are taken."""

    @property
    def connections(self) -> int:
        """How many there are."""

    @property
    def workers(self) -> Sequence[WorkerSeen]:
        """The processes that serve it, where the gateway's own does not."""

    @property
    def worker_deaths(self) -> int:
        """How many of them ended without being asked to."""

    @property
    def overloaded(self) -> bool:
        """Whether bodies take up all the room there is for them, as far as this process knows."""
