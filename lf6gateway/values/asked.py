"""Which objects are asked for: of which streams, times, hosts and users. Owns that choice by what keys tell; must never
list anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from lf6gateway.values.delivered import Delivered
from lf6gateway.values.stream import Stream
from lf6gateway.values.window import Window


@dataclass(frozen=True, slots=True)
class Asked:
    """See the module.

    :param host: as it stands in keys; ``None``: of every host. Specimens tell of none, and are left out where one is
        asked for.
    :param user: of specimens; which records are whose is told by their envelopes alone.
    """

    streams: Sequence[Stream] = tuple(Stream)
    window: Window = field(default_factory=Window)
    host: str | None = None
    user: str | None = None

    def wants(self, found: Delivered) -> bool:
        """Whether an object is asked for."""
        if found.stream not in self.streams:
            return False
        if found.stream is Stream.SPECIMEN:
            return (
                self.host is None
                and (self.user is None or found.user == self.user)
                and self.window.holds(found.moment_ns)
            )
        return (self.host is None or found.host == self.host) and self.window.touches(found.slot)
