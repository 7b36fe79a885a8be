"""How many bytes each user has sent to each stream on this day of UTC. Owns the count and its form on disk, bounded
whatever names come; must never touch a file or a clock."""

from __future__ import annotations

import json
from typing import Final

from lf6gateway.values.stream import Stream

DAY_S: Final = 86_400


class Daily:
    """The counts of one day; with the next one they begin anew.

    :param most: how many are remembered; those that grew longest ago are forgotten first.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.changed = False
        """Whether something is not in the last ``as_text``."""
        self._day = 0
        self._used: dict[tuple[str, Stream], int] = {}

    def used(self, user: str, stream: Stream, now_s: float) -> int:
        """What a user has sent today."""
        self._turn(now_s)
        return self._used.get((user, stream), 0)

    def take(self, user: str, stream: Stream, amount: int, now_s: float) -> None:
        """Count an amount, or take one back that is negative."""
        self._turn(now_s)
        used = max(0, self._used.pop((user, stream), 0) + amount)
        while len(self._used) >= self.most:
            del self._used[next(iter(self._used))]
        self._used[(user, stream)] = used
        self.changed = True

    def _turn(self, now_s: float) -> None:
        day = int(now_s // DAY_S)
        if day != self._day:
            self._day = day
            self._used = {}

    def snapshot(self) -> tuple[int, dict[tuple[str, Stream], int]]:
        """What is to be written down; from now on ``changed`` tells of what comes after."""
        self.changed = False
        return self._day, dict(self._used)

    def restore(self, text: str, now_s: float) -> None:
        """Take over what was written down, if it is of today.

        :raises ValueError: it is not what ``as_text`` writes.
        """
        try:
            found = json.loads(text)
            day = int(found["day"])
            used = {(str(user), Stream(stream)): int(amount) for user, stream, amount in found["used"]}
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ValueError("is no record of what users have sent today") from None
        self._turn(now_s)
        if day == self._day:
            self._used = used

    def __len__(self) -> int:
        return len(self._used)


def as_text(day: int, used: dict[tuple[str, Stream], int]) -> str:
    """A snapshot as it is written down."""
    return json.dumps({"day": day, "used": [[user, stream.value, amount] for (user, stream), amount in used.items()]})
