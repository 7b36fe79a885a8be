"""One batch or specimen in the queue, and how its file is named: all that is known of it stands in the name, so that a
rename is the whole of each change. Owns these names; must never touch a file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

BLOCK: Final = 4096
STREAMS: Final = ("usage", "error", "specimen")
OPEN: Final = "open"
"""The end of a batch that still grows."""
PART: Final = "part"
"""The end of what was not finished, and counts for nothing."""
READY: Final = "ready"
"""The end of what was never sent, or is known not to have been kept."""
_NAME: Final = re.compile(r"(\d{20})-([0-9a-f]{32})\.(usage|error|specimen)\.(open|part|ready|since(\d{1,12}))")


def room_of(size: int) -> int:
    """What a file takes up on disk."""
    return -(-size // BLOCK) * BLOCK or BLOCK


def half_key(key: str, half: int) -> str:
    """The idempotency key of one half of a batch: the same whenever it is halved again."""
    return sha256(f"{key}/{half}".encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True, order=True)
class Parcel:
    """A batch or a specimen.

    :param created_ns: when its first record came, nanoseconds since 1970; the oldest is sent first.
    :param key: its ``Idempotency-Key``, for ever.
    :param size: of its file, in bytes.
    :param since: from which second since 1970 on the gateway may have kept it; ``None``: it has not.
    """

    created_ns: int
    key: str
    stream: str
    size: int
    since: int | None = None
    state: str = READY

    @property
    def name(self) -> str:
        """Of its file."""
        state = self.state if self.since is None else f"since{self.since}"
        return f"{self.created_ns:020d}-{self.key}.{self.stream}.{state}"

    @property
    def room(self) -> int:
        """What it takes up on disk."""
        return room_of(self.size)


def parse_parcel(name: str, size: int) -> Parcel | None:
    """The parcel whose file has this name; ``None``: it is none."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    since = None if found[5] is None else int(found[5])
    return Parcel(int(found[1]), found[2], found[3], size, since, READY if since is not None else found[4])
