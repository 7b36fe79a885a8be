"""What grows with the number of machines, computed from the layout of the objects and from how a gateway writes them:
the tables of docs/scaling.md. Owns the arithmetic and its assumptions; measures nothing but how well records pack."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.samples import batch

DOCUMENT: Final = Path(__file__).resolve().parents[1] / "docs" / "scaling.md"
BEGIN, END = "<!-- python -m bench.scaling writes this -->", "<!-- up to here -->"
FLEETS: Final = (1, 3, 10, 100, 1_000, 10_000)
STREAMS: Final = 2
"""Usage and error; a specimen is one object and one PUT, however many machines there are."""
WRITES: Final = 7
"""An hour's object is written at each of six intervals of ten minutes and at the hour's end."""
SEGMENT: Final = 64 * 1024 * 1024
"""Bytes of records after which a write does not wait for the interval's end (``aggregation.segment_bytes``)."""
APPEND_FROM: Final = 5 * 1024 * 1024
"""From this size on a write is an upload in parts: begin, copy what is there, send what is new, put together."""
APPEND_REQUESTS: Final = 4
PAGE: Final = 1_000
"""Keys in one answer to LIST."""
HOURS: Final = 24
DAYS: Final = 30


@dataclass(frozen=True)
class Prices:
    """Dollars, as an example: look up your region's."""

    put: float = 0.005 / 1_000
    """PUT, COPY, POST and LIST, each."""
    get: float = 0.0004 / 1_000
    """GET and HEAD, each."""
    put_rate: int = 3_500
    """PUT requests a second that S3 takes under one prefix before it asks to slow down."""


@dataclass(frozen=True)
class Load:
    """What a fleet takes in, all machines together."""

    records_a_second: int
    record_bytes: int = 250


PRICES: Final = Prices()
LOAD: Final = Load(10_000)


@dataclass(frozen=True)
class Costs:
    """One fleet under one load."""

    machines: int
    objects_a_day: int
    object_bytes: int
    writes_a_month: int
    looks_a_month: int
    dollars_a_month: float
    pages_an_hour: int
    pages_a_day: int
    read_dollars: float
    turn_seconds: float


def packed_ratio() -> float:
    """How many bytes of records go into one byte of an object, at the default level."""
    lines = batch(20_000)
    packer = zlib.compressobj(6, zlib.DEFLATED, -15)
    return len(lines) / len(packer.compress(lines) + packer.flush())


def costs(machines: int, load: Load, ratio: float, prices: Prices = PRICES) -> Costs:
    """What a fleet of so many machines comes to; each of them has data of both streams in every interval.

    :param ratio: see ``packed_ratio``.
    """
    objects = machines * STREAMS
    size = load.records_a_second * 3_600 * load.record_bytes / ratio / objects
    times = WRITES + int(size * ratio // SEGMENT)
    # An object that has grown beyond the limit is written in parts from then on.
    large = sum(size * number / times >= APPEND_FROM for number in range(1, times))
    writes = objects * (times + large * (APPEND_REQUESTS - 1)) * HOURS * DAYS
    looks = objects * (times + 1) * HOURS * DAYS  # before each write, and once at the end
    pages_a_day = math.ceil(machines * HOURS / PAGE)
    return Costs(
        machines=machines,
        objects_a_day=objects * HOURS,
        object_bytes=round(size),
        writes_a_month=writes,
        looks_a_month=looks,
        dollars_a_month=writes * prices.put + looks * prices.get,
        pages_an_hour=math.ceil(machines / PAGE),
        pages_a_day=pages_a_day,
        read_dollars=pages_a_day * prices.put + machines * HOURS * prices.get,
        turn_seconds=objects / prices.put_rate,
    )


def _size(count: int) -> str:
    for unit, name in ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} B"


def _dollars(amount: float) -> str:
    return f"{amount:,.0f}" if amount >= 10 else f"{amount:.2f}" if amount >= 0.01 else f"{amount:.5f}"


def tables(load: Load = LOAD, ratio: float | None = None) -> str:
    """The tables as Markdown."""
    ratio = round(packed_ratio(), 1) if ratio is None else ratio
    found = [costs(machines, load, ratio) for machines in FLEETS]
    lines = [
        f"The load is the same in each row: {load.records_a_second:,} records a second of {load.record_bytes} bytes, "
        f"half usage and half error, spread over all machines; they pack to one part in {ratio} (the records of "
        "`bench/samples.py`).",
        "",
        "| machines | objects a day | bytes in one | PUTs and POSTs a month | HEADs a month | $ a month |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {one.machines:,} | {one.objects_a_day:,} | {_size(one.object_bytes)} | {one.writes_a_month:,} | "
        f"{one.looks_a_month:,} | {_dollars(one.dollars_a_month)} |"
        for one in found
    ]
    lines += [
        "",
        "And to read one stream, and at the turn of the hour:",
        "",
        "| machines | LIST pages for an hour | for a day | $ to list and get a day once | PUTs at the turn | "
        "S3 takes them in |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {one.machines:,} | {one.pages_an_hour:,} | {one.pages_a_day:,} | {_dollars(one.read_dollars)} | "
        f"{one.machines * STREAMS:,} | {one.turn_seconds:.1f} s |"
        for one in found
    ]
    return "\n".join(lines)


def written(document: str) -> str:
    """The document with the tables as they are now."""
    head, _, rest = document.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n\n{tables()}\n\n{END}{tail}"


if __name__ == "__main__":
    DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
    print(tables())
