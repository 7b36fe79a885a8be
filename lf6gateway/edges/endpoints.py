"""What each path of the public port takes and answers, decided from the head of a request alone, so that what is
refused need not be sent. Owns these decisions and their order; must never read a body."""

from __future__ import annotations

import re
from typing import ClassVar, Final
from urllib.parse import unquote_to_bytes

from attrs import define, field

from lf6gateway.disk.offload import Offload
from lf6gateway.disk.space import Refusal
from lf6gateway.edges import problems
from lf6gateway.edges.body import UnknownCoding, coding_of
from lf6gateway.edges.identify import Identify, token_is_name
from lf6gateway.edges.intake import (
    LARGE,
    EncodedSpecimenIntake,
    RecordIntake,
    Repetition,
    SpecimenIntake,
    most_encoded,
)
from lf6gateway.edges.memory import Memory
from lf6gateway.edges.message import ACKNOWLEDGED, Answer, Fields, Flow, Guard, Head, Inside, Intake
from lf6gateway.edges.room import Room
from lf6gateway.services.receiving import Takes
from lf6gateway.values.limits import Limits
from lf6gateway.values.problem import Refused
from lf6gateway.values.stream import Stream
from lf6gateway.values.traffic import OTHER, Traffic

SENDING: Final = (b"PUT", b"POST")
ASKING: Final = (b"GET", b"HEAD")
BATCH_TYPES: Final = frozenset(
    {b"application/x-ndjson", b"application/ndjson", b"application/jsonl", b"application/x-jsonlines"}
)
"""The content types of a batch; whatever else is sent as a report is one JSON value."""

_KEY: Final = re.compile(rb"[\x21-\x7e]{1,255}")
_PLAIN_ANSWER: Final = ((b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store"))
_HEALTHY: Final = Answer(200, _PLAIN_ANSWER, b'{"status":"healthy"}')
_READY: Final = Answer(200, _PLAIN_ANSWER, b'{"status":"ready"}')


@define
class Door:
    """What all endpoints share: ``memory`` for bodies of records, ``places`` for specimens, which are open files.
    ``log_requests`` and ``guard`` may be changed while requests come in.

    :param offload: where bodies are decoded and large ones checked.
    :param identify: who finds the user of a request.
    :param log_requests: write a line about each request, at debug level.
    :param traffic: counts what is answered.
    :param guard: who stands before the endpoints that take data; ``None``: whoever ``identify`` finds may send.
    """

    receiver: Takes
    limits: Limits
    offload: Offload
    identify: Identify = token_is_name
    log_requests: bool = False
    guard: Guard | None = None
    traffic: Traffic | None = None
    memory: Memory = field(init=False)
    places: Room = field(factory=Room, init=False)

    def __attrs_post_init__(self) -> None:
        self.memory = Memory(self.limits.max_waiting)

    def set_limits(self, limits: Limits) -> None:
        """Limits that hold from the next request on."""
        self.limits = limits
        self.memory.cap = limits.max_waiting

    def let_in(self, inside: Inside, stream: Stream, head: Head, flow: Flow) -> Answer | Intake:
        """Open what is inside for the user whom the guard finds, or ``identify`` where there is none."""
        _check_method(head, SENDING)
        if self.guard is not None:
            return self.guard.open(inside, stream, head, flow)
        return inside.open_for(self.identify(head.fields, stream), head, flow)


@define
class Records:
    """``/usage`` and ``/error``."""

    _door: Door
    stream: Stream

    def open(self, head: Head, flow: Flow) -> Answer | Intake:
        return self._door.let_in(self, self.stream, head, flow)

    def open_for(self, user: str, head: Head, flow: Flow) -> Answer | Intake:
        door = self._door
        coding = _coding(head.fields)
        batch = _is_batch(head.fields)
        most = door.limits.max_batch if batch else door.limits.max_report
        _check_length(head, most, coding)
        key = _idempotency_key(head.fields)
        _check_ready(door.receiver.admission(head.length or 0))
        if not door.memory.admits(head.length):
            raise Refused(problems.overloaded())
        if door.receiver.repeated(self.stream, user, key):
            return _repetition(head, coding, most)
        return RecordIntake(
            door.receiver,
            door.limits,
            door.memory.share(flow, waits=head.length is None or head.length > LARGE),
            door.offload,
            self.stream,
            user,
            key,
            head.request_id,
            coding,
            batch,
        )


@define
class Specimens:
    """``/specimen``."""

    _door: Door
    stream: ClassVar = Stream.SPECIMEN

    def open(self, head: Head, flow: Flow) -> Answer | Intake:
        return self._door.let_in(self, Stream.SPECIMEN, head, flow)

    def open_for(self, user: str, head: Head, flow: Flow) -> Answer | Intake:
        door = self._door
        coding = _coding(head.fields)
        most = door.limits.max_specimen
        _check_length(head, most, coding)
        key = _idempotency_key(head.fields)
        uri = _uri(head.query)
        content_type = _content_type(head.fields)
        _check_ready(door.receiver.admission(head.length or 0))
        if door.receiver.repeated(Stream.SPECIMEN, user, key):
            return _repetition(head, coding, most)
        if not door.places.take(1, door.limits.max_specimens):
            raise Refused(problems.overloaded())
        reception = door.receiver.specimen(
            user=user,
            uri=uri,
            content_type=content_type,
            key=key,
            request_id=head.request_id,
            length=head.length if coding is None else None,
        )
        if coding is None:
            return SpecimenIntake(reception=reception, limits=door.limits, flow=flow, places=door.places)
        return EncodedSpecimenIntake(
            reception=reception,
            limits=door.limits,
            flow=flow,
            places=door.places,
            offload=door.offload,
            coding=coding,
        )


@define
class Health:
    """``/health``: the process serves."""

    stream: ClassVar = OTHER

    def open(self, head: Head, flow: Flow) -> Answer | Intake:
        _check_method(head, ASKING)
        return _HEALTHY


@define
class Ready:
    """``/ready``: data are taken, or why not."""

    _door: Door
    stream: ClassVar = OTHER

    def open(self, head: Head, flow: Flow) -> Answer | Intake:
        _check_method(head, ASKING)
        if self._door.memory.full:
            raise Refused(problems.overloaded())
        _check_ready(self._door.receiver.refusal())
        return _READY


@define
class Nothing:
    """Every other path."""

    stream: ClassVar = OTHER

    def open(self, head: Head, flow: Flow) -> Answer | Intake:
        raise Refused(problems.not_found())


def _check_method(head: Head, allowed: tuple[bytes, ...]) -> None:
    if head.method not in allowed:
        raise Refused(problems.method_not_allowed(allowed))


def _coding(fields: Fields) -> str | None:
    try:
        return coding_of(fields(b"content-encoding"))
    except UnknownCoding as error:
        raise Refused(problems.unsupported_coding(str(error))) from None


def _is_batch(fields: Fields) -> bool:
    sent = fields(b"content-type")
    return bool(sent) and sent[0].partition(b";")[0].strip().lower() in BATCH_TYPES


def _check_length(head: Head, most: int, coding: str | None) -> None:
    if head.length is None:
        if not head.chunked:
            raise Refused(problems.length_required())
    elif coding is None:
        if head.length > most:
            raise Refused(problems.too_large(most))
    elif head.length > most_encoded(most):
        raise Refused(problems.too_large(most_encoded(most), encoded=True))


def _idempotency_key(fields: Fields) -> str | None:
    sent = fields(b"idempotency-key")
    if not sent:
        return None
    if len(sent) > 1 or not _KEY.fullmatch(sent[0]):
        raise Refused(
            problems.bad_request(
                "invalid-idempotency-key", "Idempotency-Key is one value of 1 to 255 visible ASCII characters"
            )
        )
    return sent[0].decode("ascii")


def _uri(query: bytes) -> str:
    found = [
        value for name, _, value in (pair.partition(b"=") for pair in query.split(b"&")) if _unquoted(name) == b"uri"
    ]
    if len(found) != 1 or not found[0]:
        detail = "the query holds no uri" if not found else "the query's uri is empty or there are several"
        raise Refused(problems.bad_request("invalid-uri", f"{detail}; send /specimen?uri=…, percent-encoded"))
    try:
        return _unquoted(found[0]).decode()
    except UnicodeDecodeError:
        raise Refused(problems.bad_request("invalid-uri", "the query's uri is not UTF-8")) from None


def _unquoted(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" "))


def _content_type(fields: Fields) -> str | None:
    """The sender's Content-Type, if it can be passed on as it is."""
    sent = fields(b"content-type")
    if not sent or not sent[0] or len(sent[0]) > 255 or not all(0x20 <= byte < 0x7F for byte in sent[0]):
        return None
    return sent[0].decode("ascii")


def _check_ready(refusal: Refusal | None) -> None:
    if refusal is not None:
        raise Refused(problems.unavailable(refusal.reason, refusal.detail, refusal.retry_after))


def _repetition(head: Head, coding: str | None, most: int) -> Answer | Intake:
    if awaits_continue(head.fields):
        return ACKNOWLEDGED  # the body need not even be sent
    return Repetition(most if coding is None else most_encoded(most))


def awaits_continue(fields: Fields) -> bool:
    """Whether the sender waits for ``100 Continue`` before it sends the body."""
    return any(value.strip().lower() == b"100-continue" for value in fields(b"expect"))
