"""Signing requests to S3, and links to objects (AWS Signature Version 4), by botocore. Owns the shape of what is
signed; must never find credentials, send anything, or read a body."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""The payload hash of a request without a body."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What a request is signed with; never shown."""

    access: str = field(repr=False)
    secret: str = field(repr=False)
    token: str | None = field(repr=False, default=None)


class _Signer(S3SigV4Auth):  # type: ignore[misc]  # botocore has no types
    """botocore's signer, told the payload's hash instead of computing it from a body it would have to hold."""

    def __init__(self, keys: Keys, region: str, payload_sha256: str) -> None:
        super().__init__(Credentials(keys.access, keys.secret, keys.token), "s3", region)
        self._payload_sha256 = payload_sha256

    def payload(self, request: AWSRequest) -> str:
        """The hash that goes into ``x-amz-content-sha256`` and under the signature."""
        return self._payload_sha256


def encode_key(key: str) -> str:
    """A key as the path of a URL: everything but unreserved characters and ``/`` escaped, once."""
    return quote(key, safe="/-_.~")


def encode_query(query: Sequence[tuple[str, str]]) -> str:
    """A query as it is both sent and signed."""
    return urlencode(query, quote_via=quote, safe="-_.~")


def sign(
    keys: Keys, region: str, method: str, url: str, headers: Mapping[str, str], payload_sha256: str
) -> dict[str, str]:
    """All headers of a request, the signature among them.

    :param url: with the path and query exactly as they will be sent.
    :param payload_sha256: of the body, in hex.
    """
    request = AWSRequest(method=method, url=url, headers=dict(headers))
    _Signer(keys, region, payload_sha256).add_auth(request)
    return {str(name): str(value) for name, value in request.headers.items()}


def presign(keys: Keys, region: str, url: str, seconds: int) -> str:
    """A URL that lets whoever has it GET one object for a while, and nothing else
    (https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html).

    :param url: with the path and query exactly as they will be sent.
    :param seconds: for how long.
    """
    request = AWSRequest(method="GET", url=url)
    S3SigV4QueryAuth(Credentials(keys.access, keys.secret, keys.token), "s3", region, expires=seconds).add_auth(request)
    return str(request.url)
