"""What is refused of a head that a parser let through: whatever two programs in a row could read in two ways. Owns
these rules, for every HTTP channel alike; must never parse, nor know a path or a user."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from lf6gateway.edges.message import Fields

_TARGET: Final = re.compile(rb"[\x21-\x7e]+")
_HOST: Final = re.compile(rb"(?:\[[0-9A-Za-z:.%]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]*)?")
_FIELD: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")
FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
"""The fields that say where a body ends, which must stand in front of it (RFC 9110, 6.5.1)."""
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def line_fault(line: bytes) -> str | None:
    """What is wrong with one line of a head, without its end; ``None``: nothing that can be told from it alone."""
    if line[:1] in (b" ", b"\t"):
        return "a line of the head begins with white space; a field on several lines is not taken"
    if _CONTROL.search(line):
        return "the head holds a control character, or a line break that is not CR LF"
    return None


def head_fault(method: bytes, version: bytes, target: bytes, fields: Fields) -> str | None:
    """What is wrong with a whole head; ``None``: nothing.

    :param version: ``HTTP/1.1`` or ``HTTP/1.0``.
    """
    if method == b"PRI":
        return "PRI begins HTTP/2, which is not spoken here"
    if not _TARGET.fullmatch(target):
        return "the request target holds something else than visible ASCII; percent-encode it"
    hosts = fields(b"host")
    if len(hosts) > 1 or (not hosts and version == b"HTTP/1.1"):
        return "a request names one Host" if hosts else "the request names no Host"
    if hosts and not _HOST.fullmatch(hosts[0]):
        return "Host is not the name of one"
    codings = fields(b"transfer-encoding")
    if codings:
        if version != b"HTTP/1.1":
            return "HTTP/1.0 knows no Transfer-Encoding"
        if len(codings) > 1 or codings[0].lower() != b"chunked":
            return "Transfer-Encoding is chunked and nothing else"
    return None


def trailers_fault(trailers: Iterable[bytes]) -> str | None:
    """What is wrong with the fields behind a chunked body, one a line; ``None``: nothing. They are not used."""
    for line in trailers:
        if not _FIELD.fullmatch(line):
            return "a trailer field is not as HTTP/1.1 has it"
        if bytes(line).partition(b":")[0].lower() in FRAMING:
            return "a trailer field says how long a body is that has ended"
    return None
