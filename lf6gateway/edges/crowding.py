"""Who makes way when there are as many connections as there may be, so that those who wait for nothing do not keep out
those who send. Owns that choice; must never close a connection."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Final

from lf6gateway.edges.connection import Connection, Stage

PATIENCE: Final = 1.0
"""Seconds that a head, the reading of an answer and a farewell have before the connection counts as slow."""
BODY_PATIENCE: Final = 5.0
"""The same for the pace of a body."""
SLOW: Final = 1024.0
"""Bytes a second of a body, below which it is slow."""


def dispensable(channels: Iterable[Connection], now: float, most: int) -> list[Connection]:
    """Up to ``most`` connections that can go: first those that never asked for anything, then idle ones, those that are
    answered, those slow with a head or with reading, those slow with a body; among equals the oldest."""
    ranked = ((rank, channel) for channel in channels if (rank := _rank(channel, now)) is not None)
    return [channel for _, channel in heapq.nsmallest(most, ranked, key=lambda pair: pair[0])]


def _rank(channel: Connection, now: float) -> tuple[int, float] | None:
    waited = now - channel.since
    match channel.stage:
        case Stage.IDLE:
            return (1 if channel.served else 0, channel.since)
        case Stage.LINGER if waited >= PATIENCE:
            return (2, channel.since)
        case Stage.HEAD | Stage.UNREAD if waited >= PATIENCE:
            return (3, channel.since)
        case Stage.BODY:
            seconds, rate = channel.pace(now)
            return (4, rate) if seconds >= BODY_PATIENCE and rate < SLOW else None
        case _:
            return None
