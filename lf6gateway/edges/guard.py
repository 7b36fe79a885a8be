"""Stands before the endpoints that take data: whose is the request, may they send this, and what is told to those who
may not. Owns the order of these questions and the words of no; must never read a body."""

from __future__ import annotations

from typing import Any, Final, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from lf6gateway.edges import problems
from lf6gateway.edges.audited import Audited, Visit
from lf6gateway.edges.awaiting import Awaiting
from lf6gateway.edges.endpoints import Door
from lf6gateway.edges.exchange import problem_of
from lf6gateway.edges.identify import token_of
from lf6gateway.edges.message import Answer, Flow, Head, Inside, Intake
from lf6gateway.edges.metered import Metered
from lf6gateway.services.access import Access
from lf6gateway.services.distant_limits import DistantLimits
from lf6gateway.values.allowance import Exceeded
from lf6gateway.values.forwarded import client_of
from lf6gateway.values.networks import sender
from lf6gateway.values.problem import Refused
from lf6gateway.values.stream import Stream
from lf6gateway.values.who import CannotTell, NotProven, Who

_log = Logger()

HELD_BACK: Final = 1_000
"""Answers to wrong tokens that are held back at the same time; any more are given at once."""


class AccessGuard:
    """See ``Guard``.

    :param access: who may send.
    :param door: what the endpoints share; its ``identify`` counts where no other proof is asked for.
    """

    def __init__(self, access: Access, door: Door) -> None:
        self._access = access
        self._door = door
        self._held_back: set[IDelayedCall] = set()
        self._hasty = False

    def open(self, inside: Inside, stream: Stream, head: Head, flow: Flow) -> Answer | Intake:
        """See ``Guard``."""
        visit = Visit(stream, head, self.address(head))
        audit = self._access.audit
        if audit is None:
            return self._open(inside, visit, flow)
        try:
            opened = self._open(inside, visit, flow)
        except Exception as error:
            problem = problem_of(error) or problems.internal()
            visit.tell(audit.tell, problem.status, problem.name, 0)
            raise
        if isinstance(opened, Answer):
            visit.tell(audit.tell, opened.status, None, 0)
            return opened
        return Audited(inside=opened, visit=visit, trail=audit.tell)

    def _open(self, inside: Inside, visit: Visit, flow: Flow) -> Answer | Intake:
        self._knock(visit.address)
        access = self._access
        user: str | Deferred[str]
        if access.distant is not None and access.allowance:
            user = Deferred.fromCoroutine(self._counted(access.distant, visit))
            enter = self._inside
        else:
            self._check(access.allowance.request_from(sender(visit.address), access.clock.seconds()))
            user = self._user(visit)
            enter = self._enter
        if isinstance(user, str):
            return enter(inside, visit, user, flow)
        return Awaiting(
            user=user,
            enter=lambda name, waiting: enter(inside, visit, name, waiting),
            flow=flow,
            memory=self._door.memory,
        ).begin()

    def hasten(self) -> None:
        """See ``Guard``."""
        self._hasty = True
        for answer in self._held_back:
            answer.reset(0)

    # How much.

    def _knock(self, address: str) -> None:
        access = self._access
        limits = access.settings.limits
        if (limits.deny and limits.deny.holds(address)) or (limits.allow and not limits.allow.holds(address)):
            access.refused["address"] += 1
            raise Refused(problems.address_not_allowed())

    async def _counted(self, distant: DistantLimits, visit: Visit) -> str:
        """Whose request it is, when the gateway has counted it."""
        of = sender(visit.address)
        if self._access.settings.limits.address_requests is not None:
            self._check(await distant.request_from(of))
        user = self._user(visit)
        visit.user = name = user if isinstance(user, str) else await user
        self._check(await distant.request_of(name, of, visit.stream, self._announced(visit)))
        return name

    def _enter(self, inside: Inside, visit: Visit, user: str, flow: Flow) -> Answer | Intake:
        visit.user = user
        self._check(self._access.request_of(user, sender(visit.address), visit.stream, self._announced(visit)))
        return self._inside(inside, visit, user, flow)

    def _announced(self, visit: Visit) -> int | None:
        """How long the body says it is, where that matters."""
        return visit.head.length if self._access.allowance.counts_bytes else 0

    def _inside(self, inside: Inside, visit: Visit, user: str, flow: Flow) -> Answer | Intake:
        """Let in a request that was counted, with the bytes that its body says it has."""
        access, of = self._access, sender(visit.address)
        if not access.allowance.counts_bytes:
            return inside.open_for(user, visit.head, flow)
        reserved = visit.head.length or 0
        opened: Answer | Intake | None = None
        try:
            opened = inside.open_for(user, visit.head, flow)
        finally:
            if reserved and (opened is None or isinstance(opened, Answer)):
                access.count(user, of, visit.stream, -reserved)  # none of it is taken
        if isinstance(opened, Answer):
            return opened
        return Metered(inside=opened, reserved=reserved, count=lambda size: access.count(user, of, visit.stream, size))

    def _check(self, exceeded: Exceeded | None) -> None:
        if exceeded is not None:
            self._access.refused[exceeded.policy] += 1
            raise Refused(problems.too_much(exceeded))

    def address(self, head: Head) -> str:
        """Where a request comes from, as far as the proxies before us are to be believed."""
        http = self._access.settings.http
        if not http.trusted_proxies:
            return client_of(head.peer, http.trusted_proxies, "", ())
        field = http.forwarded_field
        return client_of(head.peer, http.trusted_proxies, field, head.fields(field.lower().encode("ascii")))

    # Who it is.

    def _user(self, visit: Visit) -> str | Deferred[str]:
        head = visit.head
        if head.certified is not None and self._access.settings.auth.certificate_user == "common_name":
            if not head.certified:
                raise Refused(problems.no_certified_user())
            visit.by = "certificate"
            return head.certified
        authenticate = self._access.authenticate
        if authenticate is None:
            return self._door.identify(head.fields, visit.stream)
        token = token_of(head.fields)
        if not token:
            raise Refused(problems.no_user())
        begun = self._access.clock.seconds()
        try:
            found = authenticate.who(token)
        except NotProven as error:
            return self._refused_later(error, visit, begun)
        except CannotTell as error:
            visit.reason = str(error)
            raise Refused(problems.cannot_tell()) from None
        if isinstance(found, Who):
            return _allowed(found, visit)
        proven: Deferred[Any] = found
        return proven.addCallbacks(
            lambda who: _allowed(who, visit), lambda failure: self._not_known(failure, visit, begun)
        )

    def _not_known(self, failure: Failure, visit: Visit, begun: float) -> Deferred[str] | Failure:
        if failure.check(NotProven):
            return self._refused_later(cast(NotProven, failure.value), visit, begun)
        if failure.check(CancelledError):
            return failure
        visit.reason = str(failure.value)
        return Failure(Refused(problems.cannot_tell()))

    def _refused_later(self, error: NotProven, visit: Visit, begun: float) -> Deferred[str]:
        """No, after a while that grows with each try from that address. It is counted from the arrival of the request,
        so that its length does not tell how far the token came."""
        access = self._access
        access.refused["token"] += 1
        visit.reason = error.reason
        now = access.clock.seconds()
        seconds = max(0.0, access.failures.delay(sender(visit.address), now) - (now - begun))
        _log.debug(
            "request {request_id} from {address}: the token is not accepted: {reason}",
            request_id=visit.head.request_id,
            address=visit.address,
            reason=error.reason,
        )
        if self._hasty or len(self._held_back) >= HELD_BACK:
            seconds = 0.0
        waiting: Deferred[str] = Deferred(lambda _: call.cancel())  # whoever asked is gone
        call: IDelayedCall = access.clock.callLater(seconds, waiting.errback, Refused(problems.bad_token()))
        self._held_back.add(call)
        return waiting.addBoth(self._over, call)

    def _over(self, result: Any, call: IDelayedCall) -> Any:
        self._held_back.discard(call)
        return result


def set_guard(door: Door, access: Access) -> None:
    """Put a guard before the endpoints that take data if one is needed, and none if not."""
    if not access.guarded:
        door.guard = None
    elif door.guard is None:
        door.guard = AccessGuard(access, door)


def _allowed(who: Who, visit: Visit) -> str:
    visit.user, visit.by = who.user, who.by
    if who.streams is not None and visit.stream not in who.streams:
        raise Refused(problems.not_for_you(visit.stream.value))
    return who.user
