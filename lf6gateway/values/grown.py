"""What one write to an hour's object came to. Owns that value; must never say how it came about."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Grown:
    """What one write added to the object; ``found``: one of before, whose answer was lost, had added it."""

    key: str
    members: int
    records: int
    bytes: int
    size: int
    found: bool = False
