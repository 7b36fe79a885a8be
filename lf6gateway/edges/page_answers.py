"""Answers that a browser gets: the page's own files, and what each answer tells the browser to keep to. Owns these
header fields; must never decide what is on a page."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from importlib import resources
from typing import ClassVar, Final

from lf6gateway.edges.admin_endpoints import Asked
from lf6gateway.edges.message import Answer, Head
from lf6gateway.values.traffic import OTHER

POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    b"base-uri 'none'; frame-ancestors 'none'"
)
"""https://www.w3.org/TR/CSP3/: nothing from outside, nothing inline, in no frame."""
PROTECTED: Final = (
    (b"Content-Security-Policy", POLICY),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"X-Frame-Options", b"DENY"),
    (b"Referrer-Policy", b"no-referrer"),
    (b"Cross-Origin-Opener-Policy", b"same-origin"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
    (b"Permissions-Policy", b"camera=(), geolocation=(), microphone=()"),
)
_TYPES: Final = {
    "page.css": b"text/css; charset=utf-8",
    "page.js": b"text/javascript; charset=utf-8",
    "page.svg": b"image/svg+xml",
}


def shown(page: str, status: int = 200, *more: tuple[bytes, bytes]) -> Answer:
    """A page."""
    headers = ((b"Content-Type", b"text/html; charset=utf-8"), (b"Cache-Control", b"no-store"), *PROTECTED, *more)
    return Answer(status, headers, page.encode("utf-8"))


def elsewhere(target: str, *more: tuple[bytes, bytes]) -> Answer:
    """Go to another page, which is to be asked for by GET: 303 of RFC 9110."""
    headers = ((b"Location", target.encode("ascii")), (b"Cache-Control", b"no-store"), *PROTECTED, *more)
    return Answer(303, headers)


class File(Asked):
    """One of the page's own files. It may be kept for good, for its address changes with it."""

    stream: ClassVar = OTHER

    def __init__(self, name: str) -> None:
        body = resources.files("lf6gateway.edges").joinpath(name).read_bytes()
        self.address = f"{name}?{sha256(body).hexdigest()[:12]}"
        kept = (b"Cache-Control", b"public, max-age=31536000, immutable")
        self._answer = Answer(200, ((b"Content-Type", _TYPES[name]), kept, *PROTECTED), body)

    def answer(self, head: Head) -> Answer:
        """See ``Asked``."""
        return self._answer


FILES: Final[Mapping[str, File]] = {name: File(name) for name in _TYPES}
"""Read once, with the program."""
ADDRESSES: Final = {name: file.address for name, file in FILES.items()}
