"""The spool's word for «not now»: why it takes no data and when to ask again. Owns the exception; decides nothing."""

from __future__ import annotations


class SpoolUnavailable(Exception):
    """Data were not taken, and nothing of them counts as kept.

    :param reason: one of ``disk_failing``, ``spool_full``, ``disk_floor``, ``draining``, ``busy``, ``starting``.
    :param detail: what happened, for people.
    :param retry_after: seconds after which asking again makes sense, if known.
    """

    def __init__(self, reason: str, detail: str, retry_after: int | None = None) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.retry_after = retry_after
