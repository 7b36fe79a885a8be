"""A request's head and its answer as plain values, and the way a body comes in between, whatever parser read them.
Owns these shapes, so that another HTTP channel can serve the same endpoints; must never import twisted.web."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec
from twisted.python.failure import Failure

from lf6gateway.values.problem import CONTENT_TYPE, Problem
from lf6gateway.values.stream import Stream

_SANE_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}")

Fields = Callable[[bytes], Sequence[bytes]]
"""All values of the header field of that name (in lower case), in the order they were sent; none: empty."""


class Head(msgspec.Struct, frozen=True):
    """What is known of a request before its body.

    ``length`` is that of the body in bytes; ``None``: not told (``chunked``), or, where not even chunked, no body.
    ``certified`` is the user that the connection itself has proven, by the client's certificate.
    """

    method: bytes
    path: bytes
    query: bytes
    fields: Fields
    length: int | None
    chunked: bool
    peer: str
    request_id: str
    certified: str | None = None


class _Ids:
    """32 hex digits at each call, never the same: half of them chance, drawn once a process, half a count."""

    def __init__(self) -> None:
        self._renew()
        os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._begins = os.urandom(8).hex()
        self._next = itertools.count(int.from_bytes(os.urandom(4), "big")).__next__

    def __call__(self) -> str:
        return f"{self._begins}{self._next():016x}"


_new_id: Final = _Ids()


def request_id_of(fields: Fields) -> str:
    """The caller's ``X-Request-Id`` if it is a sane one, else a new one."""
    sent = fields(b"x-request-id")
    if sent and _SANE_ID.fullmatch(sent[0]):
        return sent[0].decode("ascii")
    return _new_id()


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered. ``headers`` lacks ``X-Request-Id``, ``Date``, ``Content-Length`` and ``Connection``, which the
    channel writes."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...] = ()
    body: bytes = b""


ACKNOWLEDGED: Final = Answer(204)
"""Everything that was sent is on stable storage."""


def problem_answer(problem: Problem, request_id: str) -> Answer:
    """A problem as an answer."""
    headers = ((b"Content-Type", CONTENT_TYPE), (b"Cache-Control", b"no-store"), *problem.headers)
    if problem.retry_after is not None:
        headers += ((b"Retry-After", b"%d" % problem.retry_after),)
    return Answer(problem.status, headers, problem.body(request_id))


class Flow(Protocol):
    """The sender's side of a body: it can be told to wait."""

    def pause(self) -> None:
        """Deliver no more than what has arrived already."""

    def resume(self) -> None:
        """Deliver again."""


class Intake(Protocol):
    """A request whose head was taken and whose body comes in.

    It is answered once, at any time: an early answer means that no more of the body is wanted. Nothing may be fed after
    that, except that ``abort`` is always allowed.
    """

    def tell(self, answered: Callable[[Answer], None], failed: Callable[[Failure], None]) -> None:
        """Who is told the answer, or the error that stands in its place. Called once, before anything is fed."""

    def data(self, chunk: bytes) -> None:
        """Some of the body, as it was sent."""

    def whole(self) -> None:
        """All of the body has been fed."""

    def abort(self) -> None:
        """The client is gone, or is not waited for any longer: give up everything that is not on its way to disk."""


class Endpoint(Protocol):
    """What answers the requests to one path.

    ``stream`` is the stream that these are counted under, or ``OTHER``.
    """

    @property
    def stream(self) -> str:
        """See the class."""

    def open(self, head: Head, flow: Flow) -> Answer | Intake:
        """Decide from the head alone: an answer, or an intake for the body.

        :raises Refused: a problem is the answer.
        """


class Inside(Protocol):
    """What answers the requests to one path once it is known whose they are."""

    def open_for(self, user: str, head: Head, flow: Flow) -> Answer | Intake:
        """As ``Endpoint.open``, for a user who may send this."""


class Guard(Protocol):
    """Stands before the endpoints that take data, where not everybody may send everything."""

    def open(self, inside: Inside, stream: Stream, head: Head, flow: Flow) -> Answer | Intake:
        """As ``Endpoint.open``: finds out whose the request is, and lets it in or refuses it."""

    def hasten(self) -> None:
        """All stops: hold back no answer any longer."""
