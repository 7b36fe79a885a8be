"""Reading from a store that fails now and then: what failed for a while is asked for again, from where it broke off.
Owns how often; must never write, nor ask again where only the operator can mend it."""

from __future__ import annotations

import random as _random
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, Final, TypeVar

from twisted.internet.task import deferLater

from lf6gateway.stores.store import Listed, ObjectStore, Present
from lf6gateway.values.failure import Kind, StoreError
from lf6gateway.values.retry import RetryPolicy, full_jitter

T = TypeVar("T")

_AGAIN: Final = frozenset({Kind.TRANSIENT, Kind.SLOW_DOWN, Kind.DAMAGED})
_POLICY: Final = RetryPolicy(0.5, 8.0)
ATTEMPTS: Final = 5
"""How often in a row something is asked for before it is given up."""


class PatientStore:
    """The reading half of a store, which is asked again.

    :param clock: waits.
    :param told: takes each failure that is not the last one.
    :param random: a number in [0, 1).
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        clock: Any,
        told: Callable[[StoreError], None] = lambda error: None,
        attempts: int = ATTEMPTS,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self._store = store
        self._clock = clock
        self._told = told
        self._attempts = attempts
        self._random = random

    async def head(self, key: str) -> Present | None:
        """See ``ObjectStore``."""
        return await self._patiently(lambda: self._store.head(key))

    async def folders(self, prefix: str) -> Sequence[str]:
        """See ``ObjectStore``."""
        return await self._patiently(lambda: self._store.folders(prefix))

    async def listed(self, prefix: str, *, after: str = "") -> AsyncGenerator[Sequence[Listed], None]:
        """See ``ObjectStore``."""
        failures = 0
        while True:
            try:
                async with aclosing(self._store.listed(prefix, after=after)) as pages:  # type: ignore[type-var]
                    async for page in pages:
                        fresh = [one for one in page if one.key > after] if after else page
                        failures = 0
                        if fresh:
                            after = max(one.key for one in fresh)
                            yield fresh
                return
            except StoreError as error:
                failures += 1
                await self._pause(error, failures)

    async def get(self, key: str, *, start: int = 0, length: int | None = None) -> AsyncGenerator[bytes, None]:
        """See ``ObjectStore``. Where it broke off, it goes on from there: an object of records only ever grows, and a
        specimen never changes."""
        failures = 0
        while True:
            try:
                async with aclosing(self._store.get(key, start=start, length=length)) as chunks:  # type: ignore[type-var]
                    async for chunk in chunks:
                        failures = 0
                        start += len(chunk)
                        length = None if length is None else length - len(chunk)
                        yield chunk
                return
            except StoreError as error:
                failures += 1
                await self._pause(error, failures)

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        failures = 0
        while True:
            try:
                return await work()
            except StoreError as error:
                failures += 1
                await self._pause(error, failures)

    async def _pause(self, error: StoreError, failures: int) -> None:
        """Wait, or raise the error where waiting is of no use any more."""
        if error.kind not in _AGAIN or failures >= self._attempts:
            raise error
        self._told(error)
        seconds = full_jitter(failures, _POLICY, self._random)
        await deferLater(self._clock, max(seconds, min(error.retry_after or 0.0, 60.0)), lambda: None)
