"""Who sends most, found in bounded memory however many there are. Owns the forgetting of those who send least; must
never read a clock.

Up to twice ``most`` names are counted. Whenever there are more, the half with the fewest bytes is forgotten (a lossy
count, after Manku and Motwani 2002). So nobody is counted too high; one who was forgotten and came again is counted too
low, by ``missed`` bytes at most; and whoever has sent more than that is there."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(slots=True)
class Volume:
    """What somebody has sent and was acknowledged."""

    requests: int = 0
    records: int = 0
    bytes: int = 0

    def add(self, other: Volume) -> None:
        """That much more."""
        self.requests += other.requests
        self.records += other.records
        self.bytes += other.bytes


class Heavy:
    """See the module.

    :param most: how many of the largest are certain to be kept.
    """

    __slots__ = ("_missed", "_of", "most")

    def __init__(self, most: int) -> None:
        self.most = most
        self._of: dict[str, Volume] = {}
        self._missed = 0

    def __len__(self) -> int:
        return len(self._of)

    def __iter__(self) -> Iterator[str]:
        return iter(self._of)

    @property
    def missed(self) -> int:
        """How many bytes too low somebody can be counted."""
        return self._missed

    def add(self, name: str, requests: int, records: int, size: int) -> None:
        """Somebody has sent that much."""
        found = self._of.get(name)
        if found is None:
            if len(self._of) >= 2 * self.most:
                self._prune()
            found = self._of[name] = Volume()
        found.requests += requests
        found.records += records
        found.bytes += size

    def merge(self, other: Heavy) -> None:
        """All that another one knows."""
        self._missed += other.missed
        for name, volume in other._of.items():
            self.add(name, volume.requests, volume.records, volume.bytes)

    def smaller(self, most: int) -> Heavy:
        """The largest alone, for one that is to be kept."""
        made = Heavy(most)
        ranked = self.top(most + 1)
        made._of = dict(ranked[:most])
        made._missed = self._missed + (ranked[most][1].bytes if len(ranked) > most else 0)
        return made

    def top(self, number: int) -> list[tuple[str, Volume]]:
        """The largest, the very largest first."""
        return heapq.nsmallest(number, self._of.items(), key=lambda item: (-item[1].bytes, -item[1].requests, item[0]))

    def _prune(self) -> None:
        kept = self.smaller(self.most)
        self._of, self._missed = kept._of, kept._missed
