"""Addresses and the networks they belong to. Owns how both are written and which address counts as one sender; must
never know why a network is listed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

LOCAL: Final = "unix"
"""Stands for the peers of sockets that have no address."""

_SENDER_PREFIX: Final = 64
"""Of IPv6, so many leading bits are one sender: a host is given at least that much."""


@dataclass(frozen=True, slots=True)
class Networks:
    """Some networks, and perhaps the peers of unix sockets."""

    names: tuple[str, ...]
    _v4: tuple[IPv4Network, ...]
    _v6: tuple[IPv6Network, ...]
    _local: bool

    def __bool__(self) -> bool:
        return bool(self.names)

    def holds(self, text: str) -> bool:
        """Whether an address, as ``plain_address`` gives it, is in one of them."""
        address = _parsed(text)
        if address is None:
            return self._local
        if isinstance(address, IPv4Address):
            return any(address in network for network in self._v4)
        return any(address in network for network in self._v6)


def parse_networks(texts: Iterable[str]) -> Networks:
    """Networks from their texts: an address, a network such as ``10.0.0.0/8`` or ``2001:db8::/32``, or ``unix``.

    :raises ValueError: one is neither; the message names it.
    """
    names: list[str] = []
    v4: list[IPv4Network] = []
    v6: list[IPv6Network] = []
    for text in texts:
        if text == LOCAL:
            names.append(text)
            continue
        try:
            network = ip_network(text)
        except ValueError:
            raise ValueError(_mended(text)) from None
        names.append(str(network))
        if isinstance(network, IPv4Network):
            v4.append(network)
        else:
            v6.append(network)
    return Networks(tuple(names), tuple(v4), tuple(v6), LOCAL in names)


def _mended(text: str) -> str:
    shown = ascii(text[:60])
    try:
        near = ip_network(text, strict=False)
    except ValueError:
        return f"{shown} is no network; write one like 10.0.0.0/8, 2001:db8::/32, 192.0.2.7 or unix"
    return f"{shown} has bits set behind its prefix; write {near}, or the address alone"


@lru_cache(maxsize=8192)
def plain_address(text: str) -> str:
    """An address in its one plain form: no zone, and no IPv4 address dressed as IPv6. What is no address (the path of a
    unix socket) is ``unix``."""
    address = _parsed(text)
    return LOCAL if address is None else str(address)


@lru_cache(maxsize=8192)
def sender(text: str) -> str:
    """What is counted as one sender: an IPv4 address, or the /64 network of an IPv6 one."""
    address = _parsed(text)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((int(address) >> _SENDER_PREFIX << _SENDER_PREFIX, _SENDER_PREFIX)))
    return LOCAL if address is None else str(address)


def is_loopback(text: str) -> bool:
    """Whether only this machine itself can reach an address, or be reached from it."""
    address = _parsed(text)
    return address is None or address.is_loopback


@lru_cache(maxsize=8192)
def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
