"""Services that depend on one another: started one after the other, stopped in the reverse order. Owns that order
alone; must never decide how long a stop may take.

A child is any ``IService``. Its start is over when ``startService`` has returned; or, if that returned a Deferred, or
left one in the child's attribute ``started``, when that has fired. A child whose start fails, or is cancelled, undoes
itself what it has begun. Its ``stopService`` may return a Deferred."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.application.service import IService, Service
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

_log = Logger()


def _name(child: Any) -> str:
    return str(getattr(child, "name", None) or type(child).__name__)


class OrderedService(Service):
    """Its children start in the order given, and stop in the reverse.

    After ``startService``, ``started`` fires when the last child has started, or fails with the error of the child that
    did not start; the children before it are stopped by then.

    :param children: in the order of their start.
    """

    def __init__(self, children: Iterable[IService] = ()) -> None:
        self._children: list[IService] = list(children)
        self._up: list[IService] = []
        self._starting: Deferred[None] | None = None
        self._stopping: Deferred[None] | None = None
        self.started: Deferred[None] = Deferred()

    def add(self, child: IService) -> None:
        """Another child behind the others; before the start only.

        :raises RuntimeError: it is too late.
        """
        if self.running:
            raise RuntimeError(f"{_name(child)} was added to services that are already started")
        self._children.append(child)

    def startService(self) -> None:
        """Begin with the first child; see ``started``."""
        super().startService()
        if self.started.called:
            self.started = Deferred()
        self._starting = Deferred.fromCoroutine(self._start())
        self._starting.addBoth(self._is_started, self.started)

    def _is_started(self, outcome: Failure | None, started: Deferred[None]) -> None:
        self._starting = None
        if outcome is not None and outcome.check(CancelledError):
            # Whoever waits is told; where nobody does, it is no error that went unseen.
            started.addErrback(_given_up)
        started.callback(outcome)

    async def _start(self) -> None:
        for child in self._children:
            try:
                await self._start_child(child)
            except Exception as error:
                if not isinstance(error, CancelledError):
                    _log.error(
                        "{child} did not start: {error}; what started before it is stopped",
                        child=_name(child),
                        error=str(error) or type(error).__name__,
                    )
                await self._stop_children()
                raise
            self._up.append(child)

    async def _start_child(self, child: Any) -> None:
        waiting = child.startService()
        if waiting is None:
            waiting = getattr(child, "started", None)
        if isinstance(waiting, Deferred):
            await waiting

    def stopService(self) -> Deferred[None]:
        """Stop the children that were started, the last one first, each waited for. One that fails to is logged and
        keeps no other from stopping; the Deferred never fails. Cancelling it gives up on the child that is stopping
        just now and goes on with the next."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        starting = self._starting
        if starting is not None:
            over = ended(starting)
            starting.cancel()  # which stops what was started
            try:
                await over
            except CancelledError:
                _log.warn("a start had not been given up when the time was over")
        await self._stop_children()

    async def _stop_children(self) -> None:
        while self._up:
            child = self._up.pop()
            try:
                await maybeDeferred(child.stopService)
            except CancelledError:
                _log.warn("{child} had not stopped when the time was over; it is left behind", child=_name(child))
            except Exception:
                _log.failure("{child} failed to stop; the others stop all the same", child=_name(child))


def _given_up(failure: Failure) -> None:
    failure.trap(CancelledError)


def ended(work: Deferred[Any]) -> Deferred[None]:
    """Fires when ``work`` has ended, however; leaves its result alone."""
    over: Deferred[None] = Deferred()

    def tell(outcome: Any) -> Any:
        if not over.called:
            over.callback(None)
        return outcome

    work.addBoth(tell)
    return over
