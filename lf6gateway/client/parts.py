"""The parts of a client, made from its options. Owns who is handed what, and what a request looks like; must never send
one."""

from __future__ import annotations

import gzip
import logging
import os
import secrets
from dataclasses import dataclass, replace
from functools import partial
from typing import BinaryIO, Final

from lf6gateway.client.courier import Courier, Teller
from lf6gateway.client.events import Event, Statistics
from lf6gateway.client.options import Options
from lf6gateway.client.outbox import Outbox
from lf6gateway.client.parcel import Parcel
from lf6gateway.client.specimen import path_of
from lf6gateway.client.target import Target, Who, fields_of, identity_of

_log = logging.getLogger("lf6gateway.client")

WORTH_PACKING: Final = 1024
"""Batches of fewer bytes are sent as they are."""


@dataclass(slots=True)
class Request:
    """What is sent. ``body`` is closed by whoever sends it, if it is a file."""

    path: str
    fields: dict[str, bytes | str]
    body: bytes | BinaryIO
    length: int

    def close(self) -> None:
        """Be done with it."""
        if not isinstance(self.body, bytes):
            self.body.close()


class Parts:
    """Queue, courier and figures of one client in one process. Making it touches the disk.

    :raises OSError: the queue cannot be made.
    """

    def __init__(self, target: Target, who: Who, options: Options) -> None:
        self._who = who
        self._options = options
        self.teller = Teller(options.told)
        queue = options.queue or _default_queue()
        self.outbox = Outbox(
            os.path.join(os.path.abspath(queue), identity_of(target, who, options)),
            options,
            told=self.teller,
            new_key=partial(secrets.token_hex, 16),
        )
        self.courier = Courier(self.outbox, options, self.teller)
        strangers = self.outbox.strangers()
        if strangers:
            detail = f"{queue} holds what {strangers} other identities left; clients of theirs send it (see identity)"
            self.teller(Event("strangers", "", 0, detail, queue))

    def request(self, parcel: Parcel) -> Request:
        """A parcel's request. Blocks.

        :raises OSError: its file cannot be read.
        :raises ValueError: nobody is named.
        """
        fields: dict[str, bytes | str] = {**fields_of(self._who), "Idempotency-Key": parcel.key}
        if parcel.stream == "specimen":
            head, file, length = self.outbox.open_specimen(parcel)
            fields["Content-Type"] = head.get("content_type", "application/octet-stream")
            if "content_type" not in head:
                del fields["Content-Type"]  # the gateway guesses it from the name
            return Request(path_of(head["uri"]), fields, file, length)
        body = self.outbox.body(parcel)
        fields |= {"Content-Type": "application/x-ndjson"}
        if self._options.compress and len(body) >= WORTH_PACKING:
            body = gzip.compress(body, 6, mtime=0)
            fields["Content-Encoding"] = "gzip"
        return Request(f"/{parcel.stream}", fields, body, len(body))

    def statistics(self, unwritten: int) -> Statistics:
        """The figures, those of now among them."""
        return replace(
            self.teller.figures,
            waiting_bytes=self.outbox.used,
            waiting=self.outbox.waiting,
            unwritten=unwritten,
        )


def _default_queue() -> str:
    state = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(state, "lf6gateway-client")
