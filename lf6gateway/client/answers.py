"""What an answer means for what was sent: kept, to be sent again, never to be taken. Owns this decision alone; must
never know how the answer came."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final, Literal

TYPE_PREFIX: Final = "urn:lf6gateway:problem:"
KEPT_NOTHING: Final = frozenset(
    {
        "spool_full", "disk_floor", "busy", "overloaded", "starting", "draining", "keys_full", "too_many_connections",
        "identity_unavailable",
    }
)  # fmt: skip
"""Reasons of a 503 that say that nothing of the request was kept; after any other one it may have been."""
OF_THE_BODY: Final = frozenset({"invalid-json", "too-large", "invalid-encoding", "unsupported-encoding", "invalid-uri"})
"""Problems of what was sent, and not of who sent it."""
_MOST_WORDS: Final = 300


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    :param headers: names in lower case.
    :param body: its beginning is enough.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of what was sent.

    :param kind: ``kept``; ``again``: later; ``refused``: later, but something must be mended first; ``never``.
    :param detail: why, in words.
    :param certain: whether nothing of it was kept.
    :param after: seconds to wait at least.
    :param whole: whether everything has to wait, and not this stream alone.
    """

    kind: Literal["kept", "again", "refused", "never"]
    detail: str = ""
    certain: bool = True
    after: float = 0.0
    whole: bool = True


def judge(answer: Answer, *, now: float | None = None) -> Verdict:
    """What an answer means. Only 204 is an acknowledgement: whatever else looks like success was not the gateway's.

    :param now: seconds since 1970, for a ``Retry-After`` that is a date (RFC 9110, 10.2.3).
    """
    status = answer.status
    name, words = _problem(answer)
    detail = f"{status}: {words}" if words else f"{status}"
    after = retry_after(answer.headers.get("retry-after"), time.time() if now is None else now)
    if status == 204:
        return Verdict("kept")
    if status == 413 or (status in (400, 415, 422) and name in OF_THE_BODY):
        return Verdict("never", detail)
    if status in (408, 425, 429):
        return Verdict("again", detail, after=after, whole=status != 429)
    if status == 503:
        return Verdict("again", detail, certain=name in KEPT_NOTHING, after=after)
    if 500 <= status < 600:
        return Verdict("again", detail, certain=False, after=after)
    if 400 <= status < 500:
        return Verdict("refused", detail, after=after, whole=False)
    return Verdict("refused", f"{detail} is no answer of a gateway; is the URL right?", certain=False, after=after)


def unanswered(error: Exception, *, sent: bool) -> Verdict:
    """What it means that no answer came.

    :param sent: whether something of the request may have arrived.
    """
    return Verdict("again", f"{type(error).__name__}: {error}"[:_MOST_WORDS], certain=not sent)


def retry_after(value: str | None, now: float) -> float:
    """The seconds of a ``Retry-After``, be it a number or a date; 0 where there is none that can be read."""
    if value is None:
        return 0.0
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _problem(answer: Answer) -> tuple[str, str]:
    """The name and the words of a problem (RFC 9457); of any other body nothing is repeated."""
    if not answer.headers.get("content-type", "").startswith("application/problem+json"):
        return "", ""
    try:
        members = json.loads(answer.body)
    except ValueError:
        return "", ""
    if not isinstance(members, dict):
        return "", ""
    detail = str(members.get("detail", ""))[:_MOST_WORDS]
    return str(members.get("type", "")).removeprefix(TYPE_PREFIX), detail
