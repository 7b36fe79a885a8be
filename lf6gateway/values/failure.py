"""What can go wrong with a store, told apart by what to do next. Owns the kinds, whether each is retried and how, and
the remedy an operator reads; must never look at a response itself."""

from __future__ import annotations

from enum import Enum


class Kind(Enum):
    """Why a store request failed. ``value`` names it in logs and metrics."""

    CONFLICT = "conflict"  # 412, 409 ConditionalRequestConflict: look at what is there, begin anew
    GONE = "gone"  # 404 NoSuchKey / NoSuchUpload where one was expected: look again
    TRANSIENT = "transient"  # connection, time-out, 5xx, InternalError: retry with back-off; may have taken effect
    SLOW_DOWN = "slow_down"  # 503 SlowDown, 429: retry, slower
    DAMAGED = "damaged"  # BadDigest and kin: bytes were damaged on the way; retry
    SKEWED = "skewed"  # RequestTimeTooSkewed: the machine's clock; operator
    EXPIRED = "expired"  # ExpiredToken: refresh credentials and retry at once, then operator
    REGION = "region"  # PermanentRedirect, wrong region; operator
    NO_BUCKET = "no_bucket"  # NoSuchBucket; operator
    DENIED = "denied"  # AccessDenied, InvalidAccessKeyId, SignatureDoesNotMatch; operator
    NO_CREDENTIALS = "no_credentials"  # none found, or the provider failed; operator
    UNSUPPORTED = "unsupported"  # 501 NotImplemented
    REFUSED = "refused"  # another 4xx: this object cannot be stored as it is; park it, try slowly


WHOLE_STORE = frozenset(
    {
        Kind.TRANSIENT,
        Kind.SLOW_DOWN,
        Kind.SKEWED,
        Kind.EXPIRED,
        Kind.REGION,
        Kind.NO_BUCKET,
        Kind.DENIED,
        Kind.NO_CREDENTIALS,
    }
)
"""Failures that tell about the store, not the object: others sent now would fare the same."""

OPERATOR = frozenset(
    {Kind.SKEWED, Kind.EXPIRED, Kind.REGION, Kind.NO_BUCKET, Kind.DENIED, Kind.NO_CREDENTIALS, Kind.REFUSED}
)
"""Failures that time alone does not mend: retried slowly, and reported with a remedy."""


class StoreError(Exception):
    """A store request failed.

    :param kind: what to do about it.
    :param what: the request in words, with bucket and key, without secrets.
    :param detail: what the store or the network said, cut to a sane length.
    :param remedy: what an operator can do, or an empty string.
    :param retry_after: seconds the store asked to wait, if it did.
    :param applied: ``False`` only where it is certain that the request changed nothing.
    """

    def __init__(
        self,
        kind: Kind,
        what: str,
        detail: str,
        *,
        remedy: str = "",
        retry_after: float | None = None,
        applied: bool | None = None,
    ) -> None:
        super().__init__(f"{what}: {detail}" + (f" ({remedy})" if remedy else ""))
        self.kind = kind
        self.what = what
        self.detail = detail
        self.remedy = remedy
        self.retry_after = retry_after
        self.applied = applied
