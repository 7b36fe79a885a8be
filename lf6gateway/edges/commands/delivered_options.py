"""What the commands that read delivered objects are told: where those are, and which. Owns these options and the words
for those that do not fit; must never read an object."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Sequence
from typing import Final

from lf6gateway.edges.commands.refusal import Refusal, add_config
from lf6gateway.values.asked import Asked
from lf6gateway.values.object_key import clean_hostname
from lf6gateway.values.size import parse_size
from lf6gateway.values.stream import Stream
from lf6gateway.values.when import parse_hour, parse_when
from lf6gateway.values.window import Window

STATUSES: Final = "Exit status: 0 fine; 1 something is wrong, or nothing was found; 2 wrong usage; 130 interrupted."
_WHEN: Final = "2h or 7d ago, today, 2026-11-01, 2026-11-01T05 or 2026-11-01T05:30:00Z; UTC"


def add_place(parser: argparse.ArgumentParser) -> None:
    """Let a command be told where the objects are."""
    place = parser.add_argument_group("where the objects are")
    place.add_argument(
        "--from",
        dest="places",
        action="append",
        default=[],
        metavar="PLACE",
        help="s3://bucket/prefix or /a/folder, with the streams' folders in it, or one stream's own; "
        "usage=s3://bucket/prefix says which stream lies right there, and may be given for each "
        "[default: as the configuration says]",
    )
    add_config(parser, "whose buckets or folder, and whose aws section, count")
    place.add_argument("--region", default=None, help="of the bucket [default: as for every AWS tool]")
    place.add_argument("--endpoint", default=None, metavar="URL", help="of an S3 service that is not AWS")
    place.add_argument("--profile", default=None, help="of the AWS configuration files")


def add_choice(parser: argparse.ArgumentParser, *, times: bool = True) -> None:
    """Let a command be told which objects count."""
    which = parser.add_argument_group("which objects count")
    if times:
        which.add_argument("--since", default=None, metavar="WHEN", help=f"received from then on: {_WHEN}")
        which.add_argument("--until", default=None, metavar="WHEN", help="received before then")
        which.add_argument("--hour", default=None, help="received in that hour: 2026-11-01T05 or 2026110105")
    which.add_argument("--host", default=None, help="the host that received them, by its name or as it stands in keys")


def add_jobs(parser: argparse.ArgumentParser, default: int = 4) -> None:
    """Let a command be told how much it does at once."""
    parser.add_argument(
        "--jobs", type=number(1, 64), default=default, metavar="N", help=f"objects read at once [default: {default}]"
    )
    parser.add_argument(
        "--max-record",
        type=size,
        default=64 << 20,
        metavar="SIZE",
        help="the longest record that is taken for one [default: 64MiB]",
    )


def number(least: int, most: int) -> Callable[[str], int]:
    """A type of argument: a whole number within bounds, both included."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", text) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"must be a whole number from {least} to {most}")
        return int(text)

    return read


def stream(text: str) -> Stream:
    """A type of argument: a stream's name."""
    if text not in list(Stream):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is no stream; there are {', '.join(Stream)}")
    return Stream(text)


def size(text: str) -> int:
    """A type of argument: an amount of data."""
    try:
        return max(1, parse_size(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def window_of(chosen: argparse.Namespace, default_since: str | None = None) -> Window:
    """The time that is asked for.

    :raises Refusal: it makes no sense.
    """
    now_ns = time.time_ns()
    try:
        if chosen.hour is not None:
            if chosen.since is not None or chosen.until is not None:
                raise ValueError("--hour stands for --since and --until; leave those out")
            slot = parse_hour(chosen.hour)
            return Window(slot.start_ns, slot.end_ns)
        since = chosen.since if chosen.since is not None or chosen.until is not None else default_since
        return Window(
            None if since is None else parse_when(since, now_ns),
            None if chosen.until is None else parse_when(chosen.until, now_ns),
        )
    except ValueError as error:
        raise Refusal(str(error)) from error


def asked_of(chosen: argparse.Namespace, streams: Sequence[Stream], window: Window, user: str | None = None) -> Asked:
    """The objects that are asked for."""
    host = None if chosen.host is None else clean_hostname(chosen.host)
    return Asked(tuple(streams), window, host, user)
