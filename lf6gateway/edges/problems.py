"""Every problem the public port answers with, in one place. Owns their names, statuses and words; must never decide
when one applies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from lf6gateway.edges.body import CODINGS
from lf6gateway.values.allowance import Exceeded
from lf6gateway.values.json_record import JsonProblem, RecordTooLong
from lf6gateway.values.problem import Problem

DRAINING_RETRY: Final = 5


def bad_request(name: str, detail: str) -> Problem:
    """400: something of the request is not as it must be."""
    return Problem(400, name, "Bad request", detail)


def malformed(detail: str = "the request line or a header field is not as HTTP/1.1 has it") -> Problem:
    """400: this is not HTTP."""
    return bad_request("malformed-request", detail)


def head_too_large(limit: int) -> Problem:
    """431: the request line and the header fields are more than is read."""
    return Problem(
        431, "head-too-large", "Request header fields too large", f"the head is larger than the {limit} bytes allowed"
    )


def bad_json(problem: JsonProblem) -> Problem:
    """400: a body is not JSON; says where. 413 for a record of a batch that is too long."""
    if isinstance(problem, RecordTooLong):
        return Problem(413, "too-large", "Content too large", str(problem), more={"line": problem.line})
    return Problem(
        400, "invalid-json", "Bad request", str(problem), more={"line": problem.line, "column": problem.column}
    )


def no_user() -> Problem:
    """401: nobody is named."""
    return Problem(
        401,
        "no-user",
        "Unauthorized",
        "the request names no user; send USER_TOKEN, User-Token or Authorization: Bearer",
        headers=((b"WWW-Authenticate", b'Bearer realm="lf6gateway"'),),
    )


def bad_token() -> Problem:
    """401: a token that lets nobody in; the same words whatever is wrong with it."""
    return Problem(
        401,
        "bad-token",
        "Unauthorized",
        "the token is not accepted",
        headers=((b"WWW-Authenticate", b'Bearer realm="lf6gateway", error="invalid_token"'),),
    )


def no_certified_user() -> Problem:
    """401: the client's certificate is good, and names nobody."""
    return Problem(
        401,
        "no-user",
        "Unauthorized",
        "the client's certificate names no user; its subject needs one common name that a user can have",
        headers=((b"WWW-Authenticate", b'Bearer realm="lf6gateway"'),),
    )


def address_not_allowed() -> Problem:
    """403: nothing is taken from that address."""
    return Problem(403, "address-not-allowed", "Forbidden", "nothing is taken from the address that this comes from")


def too_much(exceeded: Exceeded) -> Problem:
    """429: more than is allowed in a span, or in a day."""
    daily = exceeded.policy.startswith("daily-")
    what = "bytes" if exceeded.of_bytes else "requests"
    return Problem(
        429,
        "quota-exceeded" if daily else "too-many-requests",
        "Too many requests",
        f"{exceeded.quota} {what} in {exceeded.window_s} s are allowed here, and {exceeded.left} are left",
        retry_after=exceeded.wait_s,
        headers=exceeded.fields,
        more={"policy": exceeded.policy},
    )


def not_for_you(stream: str) -> Problem:
    """403: the user is known, and may not send this."""
    return Problem(403, "stream-not-allowed", "Forbidden", f"this token is not for sending to /{stream}")


def cannot_tell() -> Problem:
    """503: whose a token is cannot be found out now."""
    return unavailable("identity_unavailable", "whose the token is cannot be found out at this moment", 2)


def not_found() -> Problem:
    """404: nothing is at this path."""
    return Problem(404, "not-found", "Not found", "there is nothing at this path; the paths are exact")


def method_not_allowed(allowed: Iterable[bytes]) -> Problem:
    """405: this path takes other methods."""
    methods = b", ".join(allowed)
    return Problem(
        405,
        "method-not-allowed",
        "Method not allowed",
        f"this path takes {methods.decode('ascii')}",
        headers=((b"Allow", methods),),
    )


def too_slow(what: str) -> Problem:
    """408: the client did not send in time."""
    return Problem(408, "too-slow", "Request timeout", f"the {what} of the request did not come in time")


def length_required() -> Problem:
    """411: neither a length nor chunks."""
    return Problem(
        411, "length-required", "Length required", "send Content-Length, or the body with Transfer-Encoding: chunked"
    )


def too_large(limit: int, *, encoded: bool = False) -> Problem:
    """413: the body is larger than what is taken."""
    which = "before" if encoded else "after"
    return Problem(
        413,
        "too-large",
        "Content too large",
        f"the body has more than the {limit} bytes allowed here {which} decoding",
        more={"limit": limit},
    )


def unsupported_coding(sent: str) -> Problem:
    """415: the body is encoded in a way that is not taken."""
    return Problem(
        415,
        "unsupported-encoding",
        "Unsupported media type",
        f"Content-Encoding: {sent} is not taken; one of {', '.join(CODINGS)} is, or none",
        headers=((b"Accept-Encoding", ", ".join(CODINGS).encode()),),
    )


def bad_coding(detail: str) -> Problem:
    """400: the body is not what its Content-Encoding says."""
    return bad_request("invalid-encoding", detail)


def internal() -> Problem:
    """500: a fault of the gateway's own; its log has the rest under the request's id."""
    return Problem(
        500, "internal-error", "Internal server error", "the gateway failed; its log tells why under this request_id"
    )


def unavailable(reason: str, detail: str, retry_after: int) -> Problem:
    """503: no data are taken now."""
    return Problem(503, reason, "Service unavailable", detail, retry_after=max(1, retry_after), more={"reason": reason})


def draining() -> Problem:
    """503: the gateway is stopping."""
    return unavailable("draining", "the gateway is stopping", DRAINING_RETRY)


def overloaded() -> Problem:
    """503: too much is being received at this moment."""
    return unavailable("overloaded", "more is being received at this moment than room is set aside for", 1)


def too_many_connections() -> Problem:
    """503: one connection too many."""
    return unavailable("too_many_connections", "the gateway holds as many connections as it may", 1)
