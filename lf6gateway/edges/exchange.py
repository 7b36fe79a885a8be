"""One request from its head to its answer, whatever channel it came by. Owns that there is exactly one answer, that an
error becomes a problem, and the line about it in the log; must never know a socket or a parser."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger
from twisted.python.failure import Failure

from lf6gateway.disk.unavailable import SpoolUnavailable
from lf6gateway.edges import problems
from lf6gateway.edges.body import BadCoding
from lf6gateway.edges.message import Answer, Endpoint, Flow, Head, Intake, problem_answer
from lf6gateway.values.json_record import JsonProblem
from lf6gateway.values.problem import Problem, Refused
from lf6gateway.values.traffic import Traffic

_log = Logger()

UNKNOWN_RETRY = 5
"""Seconds until asking again makes sense where nobody knows better."""


def problem_of(error: BaseException | None) -> Problem | None:
    """What to tell a client of an error; ``None``: it is a fault of ours."""
    match error:
        case Refused():
            return error.problem
        case JsonProblem():
            return problems.bad_json(error)
        case BadCoding():
            return problems.bad_coding(str(error))
        case SpoolUnavailable():
            return problems.unavailable(error.reason, error.detail, error.retry_after or UNKNOWN_RETRY)
        case _:
            return None


class Exchange:
    """Feeds an endpoint and passes its answer on.

    :param answered: called once, at any time from within any call of this; not at all after ``abort``.
    :param log_requests: write a line at debug level about the answer.
    :param traffic: counts it.
    """

    __slots__ = (
        "_answered",
        "_begun",
        "_endpoint",
        "_flow",
        "_intake",
        "_log_requests",
        "_over",
        "_size",
        "_traffic",
        "head",
    )

    def __init__(
        self,
        endpoint: Endpoint,
        head: Head,
        flow: Flow,
        answered: Callable[[Answer], None],
        *,
        log_requests: bool = False,
        traffic: Traffic | None = None,
    ) -> None:
        self.head = head
        self._answered = answered
        self._log_requests = log_requests
        self._over = False
        self._intake: Intake | None = None
        self._endpoint = endpoint
        self._flow = flow
        self._size = 0
        self._traffic = traffic
        self._begun = 0.0 if traffic is None else traffic.seconds()

    def open(self) -> None:
        """Let the endpoint decide from the head."""
        try:
            opened = self._endpoint.open(self.head, self._flow)
        except Exception:
            self._settle(self._answer_to(Failure()))
            return
        if isinstance(opened, Answer):
            self._settle(opened)
            return
        self._intake = opened
        opened.tell(self._settle, self._failed)

    @property
    def over(self) -> bool:
        """Whether it has been answered or given up, so that no more of the body is wanted."""
        return self._over

    def data(self, chunk: bytes) -> None:
        """Some of the body; dropped if there is an answer already."""
        self._size += len(chunk)
        if not self._over and self._intake is not None:
            try:
                self._intake.data(chunk)
            except Exception:
                self._failed(Failure())

    def whole(self) -> None:
        """All of the body has been fed."""
        if not self._over and self._intake is not None:
            try:
                self._intake.whole()
            except Exception:
                self._failed(Failure())

    def abort(self) -> None:
        """The client is gone, or is not waited for any longer."""
        if not self._over:
            self._over = True
            if self._traffic is not None:
                self._traffic.aborted[self._endpoint.stream] += 1
            self._give_up()

    def _give_up(self) -> None:
        if self._intake is not None:
            try:
                self._intake.abort()
            except Exception:
                _log.failure("request {request_id} could not be given up", request_id=self.head.request_id)

    def _failed(self, failure: Failure) -> None:
        if self._over:
            if problem_of(failure.value) is None:
                _log.failure("request {request_id} failed, unheard", failure, request_id=self.head.request_id)
            return
        self._give_up()
        self._settle(self._answer_to(failure))

    def _answer_to(self, failure: Failure) -> Answer:
        """The answer to a request that failed; a fault of ours is logged."""
        head = self.head
        problem = problem_of(failure.value)
        if problem is None:
            _log.failure(
                "request {request_id} failed: {method} {path}",
                failure,
                request_id=head.request_id,
                method=head.method,
                path=head.path,
            )
            problem = problems.internal()
        if self._traffic is not None:
            self._traffic.problems[problem.name] += 1
        return problem_answer(problem, head.request_id)

    def _settle(self, answer: Answer) -> None:
        if self._over:
            return
        self._over = True
        if self._traffic is not None:
            self._traffic.answered(self._endpoint.stream, answer.status, self._begun, self._size)
        if self._log_requests:
            _log.debug(
                "{method} {path} {status} {request_id} {peer}",
                method=self.head.method.decode("latin-1"),
                path=self.head.path.decode("latin-1"),
                status=answer.status,
                request_id=self.head.request_id,
                peer=self.head.peer,
            )
        self._answered(answer)
