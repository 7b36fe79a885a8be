"""Sending without a queue, for a program that waits for the answer: batches and specimens one after the other, each
tried again until it is acknowledged or its time is over. Owns the tries and the count of what became of everything;
must never read a file of records, nor print."""

from __future__ import annotations

import gzip
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from lf6gateway.client.answers import Verdict, judge, unanswered
from lf6gateway.client.connection import Connection, Unanswered
from lf6gateway.client.failures import ClientError
from lf6gateway.client.options import Options
from lf6gateway.client.parcel import half_key
from lf6gateway.client.parts import WORTH_PACKING
from lf6gateway.client.specimen import path_of
from lf6gateway.client.target import Who, fields_of, target_of


class Stopped(ClientError):
    """It makes no sense to go on; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Line:
    """A record, which ends in a line feed, and where it was found."""

    data: bytes
    where: str


@dataclass(slots=True)
class Tally:
    """What became of everything. ``refused`` holds where each refused one was found, and why."""

    sent: int = 0
    bytes: int = 0
    requests: int = 0
    retries: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)


class Uploader:
    """See the module.

    :param patience: seconds that one request is tried again at most.
    :param waiting: told each pause, and why.
    :raises ValueError: the URL or the user is none.
    :raises OSError: a certificate cannot be read.
    """

    def __init__(
        self,
        url: str,
        user_or_token: Who,
        options: Options,
        *,
        patience: float,
        waiting: Callable[[float, str], None] = lambda seconds, why: None,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tally = Tally()
        self._fields = fields_of(user_or_token)
        self._options = options
        self._connection = Connection(target_of(url, options), options)
        self._patience = patience
        self._waiting = waiting
        self._sleep = sleep
        self._monotonic = monotonic

    def batch(self, stream: str, lines: Sequence[Line], key: str) -> None:
        """Send a batch; what of it is never taken is found by halving it, and told in the tally.

        :raises Stopped: it was not acknowledged.
        """
        data = b"".join(line.data for line in lines)
        fields = {"Content-Type": "application/x-ndjson", "Idempotency-Key": key[:255]}
        body = data
        if self._options.compress and len(data) >= WORTH_PACKING:
            body = gzip.compress(data, 6, mtime=0)
            fields["Content-Encoding"] = "gzip"
        verdict = self._sent(f"/{stream}", fields, lambda: body, len(body), lines[0].where)
        if verdict.kind == "kept":
            self.tally.sent += len(lines)
            self.tally.bytes += len(data)
        elif len(lines) == 1:
            self.tally.refused.append((lines[0].where, verdict.detail))
        else:
            middle = len(lines) // 2
            self.batch(stream, lines[:middle], half_key(key, 0))
            self.batch(stream, lines[middle:], half_key(key, 1))

    def specimen(
        self, file: BinaryIO, length: int, *, uri: str, content_type: str | None, key: str, where: str
    ) -> None:
        """Send a specimen, from where its file stands.

        :raises Stopped: it was not acknowledged.
        """
        start = file.tell()
        fields = {"Idempotency-Key": key[:255]} | ({"Content-Type": content_type} if content_type else {})

        def body() -> BinaryIO:
            file.seek(start)
            return file

        verdict = self._sent(path_of(uri), fields, body, length, where)
        if verdict.kind == "kept":
            self.tally.sent += 1
            self.tally.bytes += length
        else:
            self.tally.refused.append((where, verdict.detail))

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def _sent(
        self, path: str, fields: dict[str, str], body: Callable[[], bytes | BinaryIO], length: int, where: str
    ) -> Verdict:
        """``kept`` or ``never``."""
        begun = self._monotonic()
        failures = 0
        while True:
            self.tally.requests += 1
            try:
                verdict = judge(self._connection.send(path, {**self._fields, **fields}, body(), length))
            except Unanswered as none:
                verdict = unanswered(none.error, sent=none.sent)
            if verdict.kind in ("kept", "never"):
                return verdict
            if verdict.kind == "refused":
                raise Stopped(f"{where}: the gateway takes nothing from this sender: {verdict.detail}")
            failures += 1
            most = min(self._options.retry_max, self._options.retry_min * 2.0 ** min(failures - 1, 30))
            pause = max(verdict.after, most * random.uniform(0.5, 1.0))
            if self._monotonic() + pause - begun > self._patience:
                doubt = "" if verdict.certain else "; it may have been kept all the same"
                raise Stopped(f"{where}: not acknowledged after {failures} tries: {verdict.detail}{doubt}")
            self.tally.retries += 1
            self._waiting(pause, verdict.detail)
            self._sleep(pause)
