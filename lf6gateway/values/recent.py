"""The last objects that were shipped, and the last error of each cause. Owns how many of them are kept; must never hold
a secret, as all of it is shown."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from lf6gateway.values.stream import Stream

MOST_OBJECTS: Final = 50
MOST_ERRORS: Final = 50
_LONGEST: Final = 600
"""Characters of an error's text."""


@dataclass(frozen=True, slots=True)
class ShippedObject:
    """One write to a store that is certain.

    :param bucket: the bucket, or the folder of a store on this machine.
    :param records: how many this write added; 1 for a specimen.
    :param bytes: likewise, as they are stored.
    :param size: of the whole object behind it, in bytes.
    :param at_ns: nanoseconds since 1970.
    """

    stream: Stream
    bucket: str
    key: str
    records: int
    bytes: int
    size: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class LastError:
    """The last error of one cause in one place.

    :param where: a stream, or ``disk``.
    :param cause: its name, as in metrics.
    :param remedy: what an operator can do; empty where time mends it.
    :param count: how many there were since the start.
    :param first_ns: when the first of them was, nanoseconds since 1970.
    """

    where: str
    cause: str
    detail: str
    remedy: str
    count: int
    first_ns: int
    last_ns: int


class Recent:
    """See the module.

    :param now_ns: the wall clock, nanoseconds since 1970.
    """

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._objects: deque[ShippedObject] = deque(maxlen=MOST_OBJECTS)
        self._errors: dict[tuple[str, str], LastError] = {}

    @property
    def objects(self) -> tuple[ShippedObject, ...]:
        """The last ones, the newest first."""
        return tuple(reversed(self._objects))

    @property
    def errors(self) -> tuple[LastError, ...]:
        """One of each cause, the newest first."""
        return tuple(sorted(self._errors.values(), key=lambda error: -error.last_ns))

    def shipped(self, stream: Stream, bucket: str, key: str, records: int, size: int, whole: int) -> None:
        """Something is in the store for certain."""
        self._objects.append(ShippedObject(stream, bucket, key, records, size, whole, self._now_ns()))

    def failed(self, where: str, cause: str, detail: str, remedy: str = "") -> None:
        """Something went wrong."""
        now = self._now_ns()
        before = self._errors.pop((where, cause), None)
        if before is None and len(self._errors) >= MOST_ERRORS:
            del self._errors[next(iter(self._errors))]  # the one that was not seen for longest
        count, first = (before.count + 1, before.first_ns) if before else (1, now)
        self._errors[where, cause] = LastError(where, cause, detail[:_LONGEST], remedy, count, first, now)
