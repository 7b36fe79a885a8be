"""What one request adds to the journal. Owns the value; must never know how it lies on disk."""

from __future__ import annotations

import msgspec


class Entry(msgspec.Struct, frozen=True, gc=False):
    """The records of one request, kept or refused together.

    :param received_ns: moment of reception, nanoseconds since 1970; it decides the hour.
    :param user: the sender's name.
    :param lines: the records, each one line that ends in a line feed.
    :param count: how many records.
    :param key: the request's ``Idempotency-Key``, if it had one.
    :param request_id: the request's id, for tracing.
    """

    received_ns: int
    user: str
    lines: bytes
    count: int
    key: str | None
    request_id: str
