"""Reading the envelope that ``records.envelope`` puts around a record: who sent it, and when it was received. Owns
telling an envelope from a record that only looks like one; must never change a byte.

The gateway writes an envelope in one form only, so nothing is parsed but its head. A record's id begins with the
identity of its segment, which stands in the header of the gzip member as well and is random: so a sender cannot forge
one."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from lf6gateway.values.member import Member

_HEAD: Final = re.compile(
    rb'\{"received_at":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{9})Z","user":("(?:[^"\\\x00-\x1f]|\\.)*+"),'
    rb'"id":"([0-9a-f]{32})-([0-9a-f]{10})","host":"([^"\\\x00-\x1f]{1,253})","data":'
)


@dataclass(frozen=True, slots=True)
class Enveloped:
    """A record in its envelope.

    :param received_ns: when it was received, in nanoseconds since 1970.
    :param data: the record, byte for byte as it was sent.
    """

    received_ns: int
    user: str
    id: str
    host: str
    data: bytes


def read_envelope(line: bytes, member: Member | None) -> Enveloped | None:
    """The envelope of a line without its end; ``None``: the record has none.

    :param member: the gzip member of the gateway's that the line is in; ``None`` where somebody else packed it anew,
        and an envelope is taken for what it looks like.
    """
    head = _HEAD.match(line)
    if head is None or not line.endswith(b"}") or (member is not None and head[4].decode() != member.id):
        return None
    try:
        moment = datetime.fromisoformat(head[1].decode()).replace(tzinfo=UTC)
        user = json.loads(head[3])
    except ValueError:
        return None
    received_ns = int(moment.timestamp()) * 1_000_000_000 + int(head[2])
    place = head.end()
    identity = f"{head[4].decode()}-{head[5].decode()}"
    return Enveloped(received_ns, user, identity, head[6].decode("utf-8", "replace"), line[place:-1])
