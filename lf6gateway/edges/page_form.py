"""A form that a browser posts, as an intake: small, and decoded whole. Owns the reading; must never act on it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final
from urllib.parse import parse_qs

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from lf6gateway.edges import problems
from lf6gateway.edges.message import Answer
from lf6gateway.values.problem import Problem, Refused

LONGEST: Final = 8 * 1024
"""Bytes of a form."""
TYPE: Final = b"application/x-www-form-urlencoded"

Form = Callable[[str], str]
"""The value of a field; empty: it was not sent, or more than once."""


class FormIntake:
    """Gathers a form and hands it on.

    :param act: what is answered to it.
    """

    def __init__(self, act: Callable[[Form], Coroutine[Any, Any, Answer]]) -> None:
        self._act = act
        self._parts: list[bytes] = []
        self._size = 0
        self._given_up = False

    def tell(self, answered: Callable[[Answer], None], failed: Callable[[Failure], None]) -> None:
        """See ``Intake``."""
        self._answered, self._failed = answered, failed

    def data(self, chunk: bytes) -> None:
        """See ``Intake``."""
        self._size += len(chunk)
        if self._size > LONGEST:
            raise Refused(problems.too_large(LONGEST))
        self._parts.append(chunk)

    def whole(self) -> None:
        """See ``Intake``."""
        sent = _decoded(b"".join(self._parts))
        Deferred.fromCoroutine(self._act(sent)).addCallbacks(self._answered, self._failed)

    def abort(self) -> None:
        """See ``Intake``; what was begun goes on."""
        self._parts = []


def check_type(sent: bytes) -> None:
    """Let a content type pass.

    :raises Refused: it is none of a form.
    """
    if sent.partition(b";")[0].strip().lower() != TYPE:
        raise Refused(
            Problem(415, "no-form", "Unsupported media type", f"this takes a form, {TYPE.decode('ascii')}, alone")
        )


def _decoded(body: bytes) -> Form:
    try:
        fields = parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=20, errors="strict")
    except ValueError as error:
        raise Refused(problems.bad_request("bad-form", "the body is no form as browsers send them")) from error
    return lambda name: found[0] if len(found := fields.get(name, [])) == 1 else ""
