"""Who somebody was found to be. Owns that answer's form; must never know how it was found."""

from __future__ import annotations

from dataclasses import dataclass, field

from lf6gateway.values.stream import Stream


@dataclass(frozen=True, slots=True)
class Who:
    """A user, proven.

    ``streams`` is what may be sent (``None``: all), ``until_s`` the moment from which the proof no longer counts, in
    seconds since 1970 (``None``: it does not end), ``by`` the name of what proves it: a token's id, an issuer's key;
    ``basis`` is that itself, a hash or a key, so that a change of it shows.
    """

    user: str
    by: str
    streams: frozenset[Stream] | None = None
    until_s: float | None = None
    basis: str = field(default="", repr=False)


class NotProven(Exception):
    """A token proves nothing. ``reason`` is for the operator's eyes: whoever sent it is not told."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CannotTell(Exception):
    """It cannot be found out now whether a token proves anything; asking again later makes sense."""
