"""Which records are asked for: by time, user and text. Owns that choice; must never read an object."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from lf6gateway.values.enveloped import read_envelope
from lf6gateway.values.member import Member
from lf6gateway.values.slot import Slot
from lf6gateway.values.window import Window


@dataclass(frozen=True, slots=True)
class Selection:
    """What is asked for.

    :param window: by the moment of reception, which an envelope tells; a record without one counts as received in all
        of its hour.
    :param user: whose records, as their envelopes say; one without an envelope is nobody's.
    :param grep: what a record's line holds.
    :param bare: whether records are wanted without their envelopes, as they were sent.
    """

    window: Window = field(default_factory=Window)
    user: str | None = None
    grep: re.Pattern[bytes] | None = None
    bare: bool = False

    def every(self, slot: Slot) -> bool:
        """Whether every record of an hour is wanted as it is."""
        return self.user is None and self.grep is None and not self.bare and self.window.covers(slot)

    def chosen(self, line: bytes, slot: Slot, member: Member | None) -> tuple[bytes | None, bool]:
        """The record as it is wanted, or ``None`` where it is not; and whether its envelope was missed.

        :param line: without its end.
        :param slot: the hour of its object.
        :param member: the gzip member of the gateway's that it is in.
        """
        if self.grep is not None and self.grep.search(line) is None:
            return None, False
        if self.user is None and not self.bare and self.window.covers(slot):
            return line, False
        envelope = read_envelope(line, member)
        if envelope is None:
            return (line, False) if self.user is None else (None, True)
        if (self.user is not None and envelope.user != self.user) or not self.window.holds(envelope.received_ns):
            return None, False
        return (envelope.data if self.bare else line), False
