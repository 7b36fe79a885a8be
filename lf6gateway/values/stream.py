"""The streams: what kinds of data there are. Owns their names; must never know how one is stored or shipped."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Stream(StrEnum):
    """One kind of data that the gateway takes; the value is its name in URLs, keys, folders and logs."""

    USAGE = "usage"
    ERROR = "error"
    SPECIMEN = "specimen"


RECORD_STREAMS: Final = (Stream.USAGE, Stream.ERROR)
"""The streams whose records are gathered into one object an hour; specimens go one by one."""
