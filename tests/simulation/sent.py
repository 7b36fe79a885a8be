"""What a sender knows of one request: that is all the oracle goes by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lf6gateway.values.stream import Stream

if TYPE_CHECKING:
    from tests.simulation.machine import Machine


class Wrong(AssertionError):
    """A promise was broken."""


@dataclass(eq=False)
class Sent:
    """One request."""

    number: int
    stream: Stream
    user: str
    machine: Machine
    count: int
    key: str | None
    data: bytes
    hours: set[int] = field(default_factory=set)
    """Those in which it may have been received."""
    first_ns: int = 0
    jumps: int = 0
    asked: int = 0
    acknowledged: int | None = None
    """Its place among all acknowledgements."""
    doubtful: bool = False
    """Its key may have been forgotten: it was under way when the clock jumped, or the disk damaged the key."""
    hurt: bool = False
    """The disk damaged the only copy there was, so it may be missing."""

    @property
    def most(self) -> int:
        """How often it may be there."""
        return 1 if self.key is not None and not self.doubtful else max(1, self.asked)

    def __str__(self) -> str:
        key = "" if self.key is None else f", {self.key}"
        heard = "not acknowledged" if self.acknowledged is None else f"acknowledged as number {self.acknowledged}"
        return (
            f"request {self.number} to {self.machine.name} ({self.stream.value} of {self.user}, {self.count} records"
            f"{key}; asked {self.asked} times, {heard}; hours {sorted(self.hours)})"
        )
