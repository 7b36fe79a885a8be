"""How much of everything a sender still has: requests and bytes in a span, bytes in a day. Owns that decision and how
it is told in ``RateLimit`` fields; must never read a clock, nor answer anybody.

The fields are those of draft-ietf-httpapi-ratelimit-headers-10: ``RateLimit-Policy: "name";q=quota;w=seconds`` and
``RateLimit: "name";r=remaining;t=seconds``, with ``qu="content-bytes"`` where bytes are counted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from lf6gateway.values.buckets import Buckets
from lf6gateway.values.daily import DAY_S, Daily
from lf6gateway.values.rate import Rate
from lf6gateway.values.settings_access import HowMuch
from lf6gateway.values.stream import Stream

_BYTES: Final = ';qu="content-bytes"'


@dataclass(frozen=True, slots=True)
class Exceeded:
    """One limit that is used up.

    ``quota`` in each ``window_s`` seconds are allowed, ``left`` are left, and ``wait_s`` is when there is enough.
    """

    policy: str
    quota: int
    window_s: int
    left: int
    wait_s: int
    of_bytes: bool

    @property
    def fields(self) -> tuple[tuple[bytes, bytes], ...]:
        """The header fields that tell of it."""
        unit = _BYTES if self.of_bytes else ""
        return (
            (b"RateLimit-Policy", f'"{self.policy}";q={self.quota}{unit};w={self.window_s}'.encode("ascii")),
            (b"RateLimit", f'"{self.policy}";r={self.left};t={self.wait_s}'.encode("ascii")),
        )


class Allowance:
    """See the module.

    :param daily: what was sent today already.
    """

    def __init__(self, limits: HowMuch, daily: Daily) -> None:
        self.daily = daily
        self._limits = limits
        self._buckets: dict[str, Buckets] = {}
        self._quotas: dict[Stream, int] = {}
        self.reconfigure(limits)

    def reconfigure(self, limits: HowMuch) -> None:
        """Take over other limits; what is counted by one that stays goes on."""
        self._limits = limits
        rates = {
            "user-requests": limits.user_requests,
            "user-bytes": limits.user_bytes,
            "address-requests": limits.address_requests,
            "address-bytes": limits.address_bytes,
        }
        buckets: dict[str, Buckets] = {}
        for policy, rate in rates.items():
            if rate is not None:
                before = self._buckets.get(policy)
                buckets[policy] = before if before is not None and before.rate == rate else _empty(rate)
                buckets[policy].most = limits.max_tracked
        self._buckets = buckets
        quotas = {stream: getattr(limits, f"daily_{stream.value}_bytes") for stream in Stream}
        self._quotas = {stream: quota for stream, quota in quotas.items() if quota is not None}
        self.daily.most = limits.max_tracked

    @property
    def has_quotas(self) -> bool:
        """Whether any limit is one of a day."""
        return bool(self._quotas)

    @property
    def counts_bytes(self) -> bool:
        """Whether any limit is one of bytes."""
        return bool(self._quotas) or "user-bytes" in self._buckets or "address-bytes" in self._buckets

    def __bool__(self) -> bool:
        return bool(self._buckets) or bool(self._quotas)

    def request_from(self, address: str, now_s: float) -> Exceeded | None:
        """Count a request by its address, unless it is one too many."""
        return self._one("address-requests", address, now_s)

    def request_of(self, user: str, now_s: float) -> Exceeded | None:
        """Count a request by its user, unless it is one too many."""
        return self._one("user-requests", user, now_s)

    def _one(self, policy: str, name: str, now_s: float) -> Exceeded | None:
        buckets = self._buckets.get(policy)
        if buckets is None:
            return None
        exceeded = _exceeded(policy, buckets, name, 1, now_s)
        if exceeded is None:
            buckets.take(name, 1, now_s)
        return exceeded

    def body_of(
        self, user: str, address: str, stream: Stream, size: int | None, now_s: float, wall_s: float
    ) -> Exceeded | None:
        """Whether a body of a size (``None``: not told) is too much; counts nothing.

        :param wall_s: seconds since 1970, for the day.
        """
        least = 1 if size is None else size
        for policy, name in (("user-bytes", user), ("address-bytes", address)):
            buckets = self._buckets.get(policy)
            if buckets is not None:
                exceeded = _exceeded(policy, buckets, name, least, now_s)
                if exceeded is not None:
                    return exceeded
        quota = self._quotas.get(stream)
        if quota is not None:
            left = quota - self.daily.used(user, stream, wall_s)
            if left < least:
                until = math.ceil(DAY_S - wall_s % DAY_S)
                return Exceeded(f"daily-{stream.value}", quota, DAY_S, max(0, left), max(1, until), True)
        return None

    def count(self, user: str, address: str, stream: Stream, size: int, now_s: float, wall_s: float) -> None:
        """Count bytes of a body, or take back negative ones."""
        for policy, name in (("user-bytes", user), ("address-bytes", address)):
            buckets = self._buckets.get(policy)
            if buckets is not None:
                buckets.take(name, size, now_s)
        if stream in self._quotas:
            self.daily.take(user, stream, size, wall_s)


def _empty(rate: Rate) -> Buckets:
    return Buckets(rate, 1)


def _exceeded(policy: str, buckets: Buckets, name: str, amount: int, now_s: float) -> Exceeded | None:
    wait = buckets.wait(name, amount, now_s)
    if not wait:
        return None
    rate = buckets.rate
    left = max(0, int(buckets.level(name, now_s)))
    window = max(1, math.ceil(rate.window.seconds))
    return Exceeded(policy, rate.amount, window, left, max(1, math.ceil(wait)), rate.of_bytes)
