"""Everything on disk goes to the stores at once, for an operator asked for it. Owns that this is done once at a time;
must never do anything that an interval, or the end of a pause, would not do by itself."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure

from lf6gateway.services.assembly import Assembly

_log = Logger()


class ShipNow:
    """See the module.

    :param parts: of a gateway that has started.
    """

    def __init__(self, parts: Assembly) -> None:
        self._parts = parts
        self._running: Deferred[None] | None = None

    def begin(self) -> bool:
        """Seal what is open, end every pause, ship; ``False``: that goes on already."""
        if self._running is not None:
            return False
        self._running = work = Deferred.fromCoroutine(self._run())
        work.addBoth(self._ended)
        return True

    async def _run(self) -> None:
        _log.info("an operator asked for everything to be shipped now")
        parts = self._parts
        parts.specimen_shipper.hurry()
        for shipper in parts.hour_shippers.values():
            shipper.hurry()
        # What is sealed by this is handed to the shippers as after any interval.
        sealing = [seals.seal_now().addErrback(_not_sealed) for seals in parts.seals.values()]
        await DeferredList(sealing)

    def _ended(self, outcome: object) -> None:
        self._running = None
        if isinstance(outcome, Failure) and not outcome.check(CancelledError):
            _log.failure("shipping everything now met an error; what waits is shipped at its time", outcome)


def _not_sealed(failure: Failure) -> None:
    if not failure.check(CancelledError):
        _log.failure("what is open could not all be sealed; the next interval tries it again", failure)
