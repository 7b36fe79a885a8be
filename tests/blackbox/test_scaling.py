"""The figures of docs/scaling.md are those that the script computes, its counts of requests those of a real run, and its
compaction keeps every record."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import duckdb

from bench import scaling
from tests.blackbox.gateway import Gateway, S3Server, eventually, records

Make = Callable[..., Gateway]


def test_the_document_has_the_scripts_tables() -> None:
    text = scaling.DOCUMENT.read_text()
    assert scaling.written(text) == text, "run python -m bench.scaling"


def test_costs_grow_as_the_layout_says() -> None:
    one, many = (scaling.costs(machines, scaling.Load(10_000), 4.0) for machines in (1, 10_000))
    assert (one.objects_a_day, many.objects_a_day) == (48, 480_000)
    assert many.writes_a_month == 10_000 * 2 * 7 * 24 * 30
    # 67 segments of 64 MiB fill up within an hour, and all but the first write are of an object that is large already.
    assert one.writes_a_month == 2 * (74 + 73 * 3) * 24 * 30
    assert (one.pages_an_hour, many.pages_an_hour, many.pages_a_day) == (1, 10, 240)


def test_each_write_of_an_object_takes_one_look_and_the_end_one_more(
    gateway: Make, s3: S3Server, tmp_path: Path
) -> None:
    daemon = gateway(s3=s3).start()
    for number in range(3):
        assert daemon.put("/usage", b'{"n":%d}' % number) == 204
        eventually(lambda number=number: len(records(s3.objects("insights"), "usage/")) > number)
    assert daemon.stop() == 0
    keys = [key for key in s3.objects("insights") if key.startswith("usage/")]
    told = re.findall(r"(PUT|HEAD) /insights/(usage/\S+\.jsonl\.gz)", (tmp_path / "s3.log").read_text())
    counted = Counter(method for method, key in told if key in keys)
    assert counted["PUT"] == 3
    assert counted["HEAD"] in (4, 5)  # five where the hour turned, for then there are two objects


def test_the_documents_compaction_keeps_every_record(gateway: Make, tmp_path: Path) -> None:
    daemons = [gateway(f"gateway-{number}", hostname=f"gateway-{number}").start() for number in range(2)]
    for number in range(6):
        assert daemons[number % 2].put("/usage", b'{"n":%d,"extra%d":1}' % (number, number % 3)) == 204
    for one in daemons:
        assert one.stop() == 0
    statements = re.findall(r"```sql\n(.*?)```", scaling.DOCUMENT.read_text(), re.DOTALL)
    (statement,) = [text for text in statements if "COPY" in text]
    pattern, target = "s3://insights/usage/2026/10/17/*/*.jsonl.gz", "usage-20261017.parquet"
    assert pattern in statement
    assert target in statement
    there = f"{tmp_path}/objects/usage/*/*/*/*/*.jsonl.gz"
    database = duckdb.connect()
    database.execute(statement.replace(pattern, there).replace(target, f"{tmp_path}/{target}"))
    found = database.execute(f"SELECT n FROM '{tmp_path}/{target}' ORDER BY n").fetchall()
    assert [number for (number,) in found] == list(range(6))
