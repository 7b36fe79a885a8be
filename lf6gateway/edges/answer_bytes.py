"""An answer as the bytes that go over the wire. Owns the form of its head, for the channels that write it themselves;
must never decide what is answered."""

from __future__ import annotations

from http import HTTPStatus
from time import time
from typing import Final

from twisted.web.http import datetimeToString

from lf6gateway.edges.message import Answer

_STATUS_LINES: Final = {
    status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode("ascii")) for status in HTTPStatus
}


class _Date:
    """The moment as HTTP writes it, made once a second."""

    def __init__(self) -> None:
        self._second = -1
        self._text = b""

    def __call__(self) -> bytes:
        second = int(time())
        if second != self._second:
            self._second = second
            self._text = datetimeToString(second)
        return self._text


date: Final = _Date()


def answer_bytes(answer: Answer, request_id: str, *, close: bool = False, without_body: bool = False) -> bytes:
    """An answer, whole.

    :param close: say that the connection ends with it.
    :param without_body: leave out the body, as for HEAD; its length is told all the same.
    """
    if answer.status == 204 and not answer.headers:
        return b"HTTP/1.1 204 No Content\r\nX-Request-Id: %b\r\nDate: %b\r\n%b\r\n" % (
            request_id.encode("ascii"),
            date(),
            b"Connection: close\r\n" if close else b"",
        )
    parts = [_STATUS_LINES[answer.status]]
    parts += [b"%b: %b\r\n" % header for header in answer.headers]
    parts.append(b"X-Request-Id: %b\r\nDate: %b\r\n" % (request_id.encode("ascii"), date()))
    if answer.status != 204:
        parts.append(b"Content-Length: %d\r\n" % len(answer.body))
    if close:
        parts.append(b"Connection: close\r\n")
    parts.append(b"\r\n")
    if not without_body:
        parts.append(answer.body)
    return b"".join(parts)
