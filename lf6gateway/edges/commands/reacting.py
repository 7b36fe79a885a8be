"""Runs the reactor for one command that needs it. Owns its start and end; must never swallow what the work raised."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from twisted.internet import task
from twisted.internet.defer import Deferred

T = TypeVar("T")


def in_reactor(work: Callable[[Any], Awaitable[T]]) -> T:
    """Run a coroutine in the reactor, once a process.

    :param work: takes the reactor.
    :raises KeyboardInterrupt: the reactor was stopped before the work was done.
    :raises Exception: whatever the work raised.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    async def body(reactor: Any) -> None:
        try:
            results.append(await work(reactor))
        except BaseException as error:
            errors.append(error)

    try:
        task.react(lambda reactor: Deferred.fromCoroutine(body(reactor)))
    except SystemExit:  # how it always ends
        pass
    if errors and not isinstance(errors[0], GeneratorExit):
        raise errors[0]
    if not results:
        raise KeyboardInterrupt
    return results[0]
