"""Browsers that have shown the operators' token, and forms that came from a page of ours. Owns the cookie and the
secret of this process that both are signed with; must never put the token itself into a cookie or a page.

A cookie rather than HTTP Basic: a browser sends Basic along with whatever another site makes it ask for, and keeps the
token until it is closed. The cookie is for the same site alone, no script reads it, it ends after half a day, with the
process, and with the token that was shown for it."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from hashlib import sha256
from typing import Final
from urllib.parse import urlsplit

from lf6gateway.edges.message import Fields
from lf6gateway.values.problem import Problem, Refused

COOKIE: Final = "lf6gateway_admin"
LASTS: Final = 12 * 3600
"""Seconds."""
_FORGET: Final = f"{COOKIE}=; Max-Age=0; HttpOnly; SameSite=Strict".encode("ascii")


class Sessions:
    """See the module.

    :param now: seconds since 1970.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._secret = secrets.token_bytes(32)

    def end_all(self) -> None:
        """What was given out counts no more."""
        self._secret = secrets.token_bytes(32)

    def begin(self) -> bytes:
        """A ``Set-Cookie`` for who has shown the token."""
        ends = str(int(self._now()) + LASTS)
        value = f"{ends}.{secrets.token_hex(8)}"
        return (
            f"{COOKIE}={value}.{self._signed('session', value)}; Max-Age={LASTS}; HttpOnly; SameSite=Strict"
        ).encode("ascii")

    @staticmethod
    def forget() -> bytes:
        """A ``Set-Cookie`` for who leaves."""
        return _FORGET

    def known(self, fields: Fields) -> bool:
        """Whether a request comes from who has shown the token."""
        return bool(self._session(fields))

    def form(self, fields: Fields, purpose: str = "act") -> str:
        """What a form of ours is to carry, for who sends these header fields."""
        return self._signed(purpose, self._session(fields))

    def check(self, fields: Fields, sent: str, purpose: str = "act") -> None:
        """Let a form pass.

        :raises Refused: it did not come from a page of ours.
        """
        right = hmac.compare_digest(sent.encode("utf-8", "replace"), self.form(fields, purpose).encode("ascii"))
        if not right or not _of_ours(fields):
            raise Refused(
                Problem(
                    403,
                    "foreign-form",
                    "Forbidden",
                    "this was not sent from a page of this gateway as it runs now; load the page again and press the "
                    "button there",
                )
            )

    def _session(self, fields: Fields) -> str:
        for line in fields(b"cookie"):
            for part in line.decode("latin-1").split(";"):
                name, _, value = part.strip().partition("=")
                said, _, signature = value.rpartition(".")
                ends = said.partition(".")[0]
                if (
                    name == COOKIE
                    and hmac.compare_digest(signature.encode("latin-1"), self._signed("session", said).encode("ascii"))
                    and int(ends) > self._now()
                ):
                    return said
        return ""

    def _signed(self, purpose: str, text: str) -> str:
        return hmac.new(self._secret, f"{purpose}:{text}".encode("latin-1"), sha256).hexdigest()


def _of_ours(fields: Fields) -> bool:
    """Whether the browser says that the request comes from a page of the same origin; one that says nothing, or that it
    tells nothing (our pages ask it to), is judged by what the form carries alone."""
    site = fields(b"sec-fetch-site")
    if site and site[0] not in (b"same-origin", b"none"):
        return False
    origin = fields(b"origin")
    if not origin or origin[0] == b"null":
        return True
    host = fields(b"host")
    return bool(host) and urlsplit(origin[0].decode("latin-1")).netloc.lower() == host[0].decode("latin-1").lower()
