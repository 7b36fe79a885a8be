"""Work that runs when the test says so, so that what happens meanwhile is the test's to decide."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

from lf6gateway.disk.offload import inline


class Later:
    """An offload that keeps its work back."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[[], object], Deferred[object]]] = []

    def __call__(self, work: Callable[[], object], /) -> Deferred[object]:
        done: Deferred[object] = Deferred()
        self.waiting.append((work, done))
        return done

    def run(self) -> None:
        """Do the oldest of it."""
        work, done = self.waiting.pop(0)
        inline(work).chainDeferred(done)
