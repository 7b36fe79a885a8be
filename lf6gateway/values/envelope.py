"""The envelope that ``records.envelope`` puts around each record: when it was received, from whom, where, and its id.
Owns its form; must never change a byte of what is inside.

It is made when a segment is sealed, from what lies in the segment's frames anyway: so it costs nothing where it is off,
no disk before it is compressed, and no time before an answer. A record's id is the random identity of its segment and
its place there, which are fixed when it is received, so that sealing or shipping it again gives the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from attrs import field, frozen

from lf6gateway.values.entry import Entry
from lf6gateway.values.object_key import clean_hostname

_BLOCK: Final = 64 * 1024
_SECOND: Final = 1_000_000_000
# Text in JSON may hold these two, but some readers take them for the end of a line.
_LINE_ENDS: Final = str.maketrans({"\u2028": "\\u2028", "\u2029": "\\u2029"})


def format_received(received_ns: int) -> str:
    """A moment as RFC 3339 has it, in UTC, with nine digits of a second.

    :param received_ns: nanoseconds since 1970.
    """
    seconds, rest = divmod(received_ns, _SECOND)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


@frozen
class Envelope:
    """Puts records into envelopes.

    :param hostname: this machine's name; in the envelope it is spelt as in the keys of objects.
    """

    hostname: str
    _host: str = field(init=False)

    @_host.default
    def _spelt(self) -> str:
        return json.dumps(clean_hostname(self.hostname))

    def wrap(self, entry: Entry, segment: str, offset: int) -> Iterator[bytes]:
        """The records of an entry in their envelopes, one a line, some at a time: a batch of countless tiny records
        is many times as long with them.

        :param segment: the identity of its segment.
        :param offset: where its frame begins there, in bytes; no two records of a segment get the same id, for a frame
            is longer than the number of its records.
        """
        user = json.dumps(entry.user, ensure_ascii=False).translate(_LINE_ENDS)
        head = f'{{"received_at":"{format_received(entry.received_ns)}","user":{user},"id":"{segment}-'.encode()
        middle = f'","host":{self._host},"data":'.encode()
        lines = entry.lines
        number = offset
        start = 0
        while start < len(lines):
            end = lines.find(b"\n", min(start + _BLOCK, len(lines) - 1)) + 1 or len(lines)
            records = lines[start:end].removesuffix(b"\n").split(b"\n")
            yield b"".join([b"%b%010x%b%b}\n" % (head, number + at, middle, one) for at, one in enumerate(records)])
            number += len(records)
            start = end
