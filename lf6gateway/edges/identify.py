"""Who sends a request: the one place that decides it, so that other ways to prove an identity can take its place. Owns
the reading of the user's header fields; must never look at the rest of a request."""

from __future__ import annotations

from typing import Protocol

from lf6gateway.edges.message import Fields
from lf6gateway.edges.problems import bad_request, no_user
from lf6gateway.values.problem import Refused
from lf6gateway.values.stream import Stream
from lf6gateway.values.username import BadUsername, parse_username


class Identify(Protocol):
    """Finds the user of a request from its header fields, or refuses the request."""

    def __call__(self, fields: Fields, stream: Stream) -> str:
        """The user's name.

        :raises Refused: it names nobody, or one who may not send this.
        """


def token_of(fields: Fields) -> bytes:
    """What the request shows as its token; empty: nothing. The first of ``USER_TOKEN``, ``User-Token`` and
    ``Authorization: Bearer`` that is not empty counts."""
    for name in (b"user_token", b"user-token"):
        for value in fields(name):
            if value.strip():
                return value.strip()
    for value in fields(b"authorization"):
        scheme, _, token = value.strip().partition(b" ")
        if scheme.lower() == b"bearer" and token.strip():
            return token.strip()
    return b""


def token_is_name(fields: Fields, stream: Stream) -> str:
    """The way of the original: whoever sends a token is the user of that name."""
    token = token_of(fields)
    if not token:
        raise Refused(no_user())
    try:
        return parse_username(token)
    except BadUsername as error:
        raise Refused(bad_request("invalid-user", str(error))) from None
