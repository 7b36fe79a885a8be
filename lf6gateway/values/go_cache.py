"""The file names of the Go original's cache directory. Owns their parsing; must never look at a file.

It named a report ``<nanoseconds>.<pid>.<user>``, an aggregate ``aggregate_<nanoseconds>.gz``, and a specimen
``<YYYYMMDDHHMMSS[.fraction]>.<pid>.<uri, query-escaped>``; Go leaves out a fraction's trailing zeros, and its dot with
them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import unquote_plus

_REPORT: Final = re.compile(r"(\d{1,19})\.\d+\.(.*)", re.DOTALL)
_AGGREGATE: Final = re.compile(r"aggregate_(\d{1,19})\.gz")
_SPECIMEN: Final = re.compile(r"(\d{14})(?:\.(\d{1,6}))?\.\d+\.(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class OldReport:
    """A report's file: when it was received (ns since 1970), and by whom it was sent."""

    received_ns: int
    user: str


@dataclass(frozen=True, slots=True)
class OldSpecimen:
    """A specimen's file; the original did not keep its user."""

    received_ns: int
    uri: str


def parse_report(name: str) -> OldReport | None:
    """``None``: it is no report's name."""
    found = _REPORT.fullmatch(name)
    return None if found is None else OldReport(int(found[1]), found[2])


def parse_aggregate(name: str) -> int | None:
    """The nanoseconds in an aggregate's name; ``None``: it is no such name."""
    found = _AGGREGATE.fullmatch(name)
    return None if found is None else int(found[1])


def parse_specimen(name: str) -> OldSpecimen | None:
    """``None``: it is no specimen's name."""
    found = _SPECIMEN.fullmatch(name)
    if found is None:
        return None
    text, fraction = found[1], (found[2] or "").ljust(6, "0")
    try:
        moment = datetime(
            int(text[:4]), int(text[4:6]), int(text[6:8]), int(text[8:10]), int(text[10:12]), int(text[12:]), tzinfo=UTC
        )
    except ValueError:
        return None
    received_ns = int(moment.timestamp()) * 1_000_000_000 + int(fraction) * 1000
    if received_ns < 0:
        return None
    return OldSpecimen(received_ns, unquote_plus(found[3], errors="replace"))
