"""Whom a proxy forwards. Owns the reading of ``X-Forwarded-For`` and ``Forwarded`` (RFC 7239), and how far they are
believed; must never look at a connection."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from typing import Final

from lf6gateway.values.networks import Networks, plain_address

MOST: Final = 100
"""Hops that are looked at; whoever writes more into a header field gains nothing."""

LONGEST: Final = 1_024
"""Characters of what one proxy writes."""

# One element of Forwarded: pairs with ; between them, whose values are tokens or quoted strings.
_PAIR: Final = re.compile(r'\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=(?:"((?:[^"\\]|\\.)*)"|([^",;\s]*))\s*(;|$)')


def client_of(peer: str, trusted: Networks, field: str, values: Sequence[bytes]) -> str:
    """The address that a request comes from.

    Read from the right, where the nearest proxy has written: each address that a trusted proxy says it got the request
    from is believed, and the first that is not a trusted proxy itself is the client. What stands further left may be
    anybody's invention.

    :param peer: the other side of the connection.
    :param field: ``X-Forwarded-For`` or ``Forwarded``.
    :param values: that field's values, in the order they were sent.
    """
    client = plain_address(peer)
    if not values or not trusted.holds(client):
        return client
    hops = _forwarded(values) if field == "Forwarded" else _forwarded_for(values)
    for count, hop in enumerate(hops):
        if hop is None or count >= MOST:
            return client  # unknown or hidden: all that is known is who said so
        client = hop
        if not trusted.holds(client):
            return client
    return client


def _forwarded_for(values: Sequence[bytes]) -> Iterator[str | None]:
    for value in reversed(values):
        for part in reversed(value.decode("latin-1").split(",")):
            yield _address(part.strip())


def _forwarded(values: Sequence[bytes]) -> Iterator[str | None]:
    for value in reversed(values):
        for element in _from_the_right(value.decode("latin-1")):
            yield _for(element)


def _from_the_right(text: str) -> Iterator[str]:
    """The elements between commas, the last one first. Whatever a client has begun with, a quotation that it left open
    for instance, the element that a proxy has put behind it is read for itself. One too long
    to be a proxy's is empty."""
    end, at, quoted = len(text), len(text), False
    while at > 0:
        at -= 1
        if end - at > LONGEST:
            yield ""
            return
        if text[at] == '"':
            before = at
            while before > 0 and text[before - 1] == "\\":
                before -= 1
            if (at - before) % 2 == 0:
                quoted = not quoted
            at = before
        elif text[at] == "," and not quoted:
            yield text[at + 1 : end]
            end = at
    yield text[:end]


def _for(element: str) -> str | None:
    at, found = 0, None
    while at < len(element):
        pair = _PAIR.match(element, at)
        if pair is None:
            return None
        if pair[1].lower() == "for":
            if found is not None:
                return None
            found = pair[3] if pair[2] is None else re.sub(r"\\(.)", r"\1", pair[2])
        at = pair.end()
    return None if found is None else _address(found)


def _address(text: str) -> str | None:
    """An address, with a port or without, in brackets or not; ``None`` for anything else."""
    if len(text) > LONGEST:
        return None
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        ip_address(text)
    except ValueError:
        return None
    return plain_address(text)
