"""An HTTP agent that leaves bodies as they come. Owns the headers by which a body would be packed and unpacked on its
way; must never touch a body itself.

What S3 calls an object's ``Content-Encoding`` is a word of whoever stored it; its bytes are the object all the same.
treq asks for gzip and unpacks what is said to be, in silence where it cannot; so it is shown neither."""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import Deferred
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

ENCODING: Final = b"x-lf6gateway-content-encoding"
"""The header under which an answer's ``Content-Encoding`` is found."""


@implementer(IAgent)
class PlainAgent:
    """See the module.

    :param agent: sends.
    """

    def __init__(self, agent: IAgent) -> None:
        self._agent = agent

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        """See ``IAgent``."""
        plain = Headers() if headers is None else headers.copy()
        plain.setRawHeaders(b"Accept-Encoding", [b"identity"])
        return self._agent.request(method, uri, plain, bodyProducer).addCallback(_renamed)


def _renamed(response: IResponse) -> IResponse:
    response.headers.removeHeader(ENCODING)
    encodings = response.headers.getRawHeaders(b"Content-Encoding")
    if encodings:
        response.headers.setRawHeaders(ENCODING, encodings)
        response.headers.removeHeader(b"Content-Encoding")
    return response
