"""Reading Deferreds and coroutines in tests that drive a ``Clock`` and need no running reactor."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


def started(work: Deferred[T] | Coroutine[Deferred[Any], Any, T]) -> Deferred[T]:
    """The Deferred of a coroutine, begun; a Deferred as it is."""
    return work if isinstance(work, Deferred) else Deferred.fromCoroutine(work)


def result_of(work: Deferred[T] | Coroutine[Deferred[Any], Any, T]) -> T:
    """What it came to, which must have happened already; its error is raised."""
    outcome: list[Any] = []
    started(work).addBoth(outcome.append)
    assert outcome, "the Deferred has not fired yet"
    if isinstance(outcome[0], Failure):
        outcome[0].raiseException()
    return outcome[0]  # type: ignore[no-any-return]


def unfired(work: Deferred[T]) -> bool:
    """Whether a Deferred is still waiting."""
    return not work.called
