"""How many requests that came at once are answered in a row: until others have had their turn, and not before the
answers so far can go out. Owns that count; must never know a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.interfaces import IDelayedCall

from lf6gateway.edges.connection import IN_A_ROW, Connection, Stage
from lf6gateway.edges.sending import Sending

if TYPE_CHECKING:
    from lf6gateway.edges.site import GatewaySite


class Turns(Sending, Connection):
    """The part of a channel that is about its requests' turns."""

    site: GatewaySite

    def __init__(self) -> None:
        super().__init__()
        self._in_a_row = 0
        self._turn: IDelayedCall | None = None

    def _has_more(self) -> bool:
        """Whether something has come that is not served yet."""
        raise NotImplementedError

    def _go_on(self) -> None:
        """Serve what waits."""
        raise NotImplementedError

    def _end_turns(self) -> None:
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None

    def _waits(self) -> bool:
        """Whether a request that could be served has to wait."""
        return self._in_a_row >= (1 if self._choked else IN_A_ROW)

    def _must_wait(self) -> bool:
        """Whether what waits has to go on waiting; if so, its turn will come."""
        if not self._waits() or not self._has_more():
            return False
        if not self._choked and self._turn is None:
            self._turn = self.site.reactor.callLater(0, self._next_turn)
        return True

    def _next_turn(self) -> None:
        self._turn = None
        self._in_a_row = 0
        if self.stage is Stage.UNREAD:
            self._go_on()

    def resumeProducing(self) -> None:
        """The other side has read."""
        super().resumeProducing()
        if self.stage is Stage.UNREAD and self._turn is None:
            self._in_a_row = 0
            self._go_on()
