"""What the audit trail says of one request. Owns the gathering of that, from the head to the answer; must never change
what is answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote_plus

from attrs import define, field
from twisted.python.failure import Failure

from lf6gateway.edges import problems
from lf6gateway.edges.exchange import problem_of
from lf6gateway.edges.message import Answer, Head, Intake
from lf6gateway.values.networks import plain_address
from lf6gateway.values.stream import Stream

Tell = Callable[[str, Mapping[str, Any]], None]


@define
class Visit:
    """What is known of a request by now.

    ``by`` is what has proven the user, ``reason`` why a token proves nothing.
    """

    stream: Stream
    head: Head
    address: str
    user: str | None = None
    by: str | None = None
    reason: str | None = None

    def tell(self, tell: Tell, status: int | None, problem: str | None, received: int) -> None:
        """Say what came of it."""
        head = self.head
        peer = plain_address(head.peer)
        tell(
            "request",
            {
                "user": self.user,
                "by": self.by,
                "address": self.address,
                "peer": None if peer == self.address else peer,
                "method": head.method.decode("latin-1"),
                "stream": self.stream.value,
                "query": unquote_plus(head.query.decode("latin-1")) if head.query else None,
                "bytes": received,
                "request_id": head.request_id,
                "status": status,
                "problem": problem,
                "reason": self.reason,
            },
        )


@define
class Audited:
    """An intake around another one, that sees its answer."""

    _inside: Intake
    _visit: Visit
    _trail: Tell
    _received: int = field(default=0, init=False)
    _told: bool = field(default=False, init=False)

    def tell(self, answered: Callable[[Answer], None], failed: Callable[[Failure], None]) -> None:
        def told_answer(answer: Answer) -> None:
            self._once(answer.status, None)
            answered(answer)

        def told_failure(failure: Failure) -> None:
            self._failed(failure.value)
            failed(failure)

        self._inside.tell(told_answer, told_failure)

    def data(self, chunk: bytes) -> None:
        self._received += len(chunk)
        try:
            self._inside.data(chunk)
        except Exception as error:
            self._failed(error)
            raise

    def whole(self) -> None:
        try:
            self._inside.whole()
        except Exception as error:
            self._failed(error)
            raise

    def abort(self) -> None:
        self._once(None, "aborted")
        self._inside.abort()

    def _failed(self, error: BaseException | None) -> None:
        problem = problem_of(error) or problems.internal()
        self._once(problem.status, problem.name)

    def _once(self, status: int | None, problem: str | None) -> None:
        if not self._told:
            self._told = True
            self._visit.tell(self._trail, status, problem, self._received)
