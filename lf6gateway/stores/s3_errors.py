"""What an S3 answer that is not a success means, and what the operator can do about it. Owns that table; must never
send a request. Codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from lf6gateway.stores.answers import local, xml
from lf6gateway.values.failure import Kind, StoreError

LONGEST: Final = 64 * 1024
"""Bytes of an answer's body that are looked at."""

_CODES: Final[Mapping[str, Kind]] = {
    "PreconditionFailed": Kind.CONFLICT,
    "ConditionalRequestConflict": Kind.CONFLICT,
    "OperationAborted": Kind.CONFLICT,
    "NoSuchKey": Kind.GONE,
    "NoSuchUpload": Kind.GONE,
    "SlowDown": Kind.SLOW_DOWN,
    "Throttling": Kind.SLOW_DOWN,
    "ThrottlingException": Kind.SLOW_DOWN,
    "BandwidthLimitExceeded": Kind.SLOW_DOWN,
    "TooManyRequests": Kind.SLOW_DOWN,
    "RequestLimitExceeded": Kind.SLOW_DOWN,
    "BadDigest": Kind.DAMAGED,
    "XAmzContentSHA256Mismatch": Kind.DAMAGED,
    "XAmzContentChecksumMismatch": Kind.DAMAGED,
    "IncompleteBody": Kind.TRANSIENT,
    "RequestTimeout": Kind.TRANSIENT,
    "InternalError": Kind.TRANSIENT,
    "ServiceUnavailable": Kind.TRANSIENT,
    "RequestTimeTooSkewed": Kind.SKEWED,
    "ExpiredToken": Kind.EXPIRED,
    "TokenRefreshRequired": Kind.EXPIRED,
    "PermanentRedirect": Kind.REGION,
    "TemporaryRedirect": Kind.TRANSIENT,
    "AuthorizationHeaderMalformed": Kind.REGION,
    "IllegalLocationConstraintException": Kind.REGION,
    "NoSuchBucket": Kind.NO_BUCKET,
    "AccessDenied": Kind.DENIED,
    "AllAccessDisabled": Kind.DENIED,
    "InvalidAccessKeyId": Kind.DENIED,
    "InvalidToken": Kind.EXPIRED,
    "SignatureDoesNotMatch": Kind.DENIED,
    "AccountProblem": Kind.DENIED,
    "NotImplemented": Kind.UNSUPPORTED,
}

_STATUSES: Final[Mapping[int, Kind]] = {
    301: Kind.REGION,
    307: Kind.TRANSIENT,
    308: Kind.REGION,
    403: Kind.DENIED,
    404: Kind.GONE,
    408: Kind.TRANSIENT,
    409: Kind.CONFLICT,
    412: Kind.CONFLICT,
    429: Kind.SLOW_DOWN,
    501: Kind.UNSUPPORTED,
}


def parse_error(body: bytes) -> tuple[str, str, str]:
    """Code, message and region of an error's body; empty where it is not S3's XML."""
    root = xml(body)
    if root is None:
        return "", "", ""
    found = {local(element): (element.text or "").strip() for element in root.iter()}
    return found.get("Code", ""), found.get("Message", ""), found.get("Region", "")


def classify(
    *, status: int, headers: Mapping[str, str], body: bytes, what: str, action: str, bucket: str, region: str
) -> StoreError:
    """The error of an answer.

    :param headers: with lower-case names.
    :param what: the request, in words.
    :param action: the IAM action it needs, as ``s3:PutObject``.
    """
    code, message, told_region = parse_error(body[:LONGEST])
    kind = _CODES.get(code) or _STATUSES.get(status) or (Kind.TRANSIENT if status >= 500 else Kind.REFUSED)
    if status == 503 and not code:
        kind = Kind.SLOW_DOWN
    detail = " ".join(part for part in (f"HTTP {status}", code[:100], message[:500]) if part)
    right_region = (headers.get("x-amz-bucket-region") or told_region)[:50]
    if not code and status == 400 and right_region not in ("", region):
        kind = Kind.REGION  # so it is told to HEAD, whose answer has no body
    return StoreError(
        kind,
        what,
        detail,
        remedy=_remedy(kind, code, action, bucket, region, right_region),
        retry_after=_seconds(headers.get("retry-after")),
        applied=False if 300 <= status < 500 and kind is not Kind.TRANSIENT else None,
    )


def _remedy(kind: Kind, code: str, action: str, bucket: str, region: str, right_region: str) -> str:
    if kind is Kind.DENIED:
        if code in ("InvalidAccessKeyId", "SignatureDoesNotMatch"):
            return "check aws.access_key_id and aws.secret_access_key: the store does not know that pair"
        return f"allow {action} on bucket {bucket} to this identity (its policy, and the bucket's)"
    if kind is Kind.NO_BUCKET:
        return f"create bucket {bucket}, or correct its name in the configuration"
    if kind is Kind.REGION:
        where = f"to {right_region}" if right_region and right_region != region else "to the bucket's region"
        return f"set aws.region (now {region}) {where}"
    if kind is Kind.SKEWED:
        return "set this machine's clock, for instance by NTP: S3 takes no request more than 15 minutes off"
    if kind is Kind.EXPIRED:
        return "renew the session token; credentials of a role renew themselves"
    if kind is Kind.REFUSED:
        return "the store does not take this object as it is; its message says why"
    return ""


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isascii() and text.isdigit() else None
