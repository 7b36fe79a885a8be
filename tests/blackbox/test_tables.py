"""Reading what was delivered by the table definitions that are shipped: DuckDB's on real objects of a real daemon, with
and without the envelope; Athena's as far as they can be tried without Athena: their language, and where they look."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlglot
from sqlglot import expressions

from lf6gateway.values.settings import KEYS
from tests.blackbox.gateway import HERE, Gateway
from tests.blackbox.test_running import stored

Make = Callable[..., Gateway]
DUCKDB = HERE / "deploy" / "duckdb" / "records.sql"
ATHENA = HERE / "deploy" / "athena"


def tables(objects: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(f"SET VARIABLE insights = '{objects}'")
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(DUCKDB.read_text())
    return connection


def hour_now() -> datetime:
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0, tzinfo=None)


def test_duckdb_reads_what_a_daemon_delivered(gateway: Make, tmp_path: Path) -> None:
    first = hour_now()
    daemon = gateway().start()
    batch = b'{"n":1,"version":"6.1.0"}\n{"n":2,"version":"6.1.1","big":123456789012345678901234567890}\n[3]\n'
    assert daemon.put("/usage", batch, Content_Type="application/x-ndjson") == 204
    assert daemon.put("/error", b'{"message":"out\\nof memory"}', user="bob") == 204
    assert daemon.put("/specimen?uri=file:///C:/broken.tar.gz", b"x") == 204
    assert daemon.put("/specimen?uri=noextension", b"y", user="bob") == 204
    assert daemon.stop() == 0
    objects = tmp_path / "objects"
    asked = tables(objects)

    rows = asked.execute("SELECT hour, host, record FROM records('usage')").fetchall()
    assert [json.loads(record) for _, _, record in rows] == [json.loads(line) for line in batch.splitlines()]
    assert {host for _, host, _ in rows} == {"test-host"}
    assert {hour for hour, _, _ in rows} <= {first, hour_now()}
    (day,) = {hour.strftime("%Y/%m/%d") for hour, _, _ in rows}
    counted = "SELECT count(*) FROM records('usage', hours := ?)"
    assert asked.execute(counted, [f"{day}/*"]).fetchone() == (3,)
    assert asked.execute("SELECT record ->> '$.message' FROM records('error')").fetchall() == [("out\nof memory",)]

    found = asked.execute("SELECT user_name, name, extension, received_at, file FROM specimens() ORDER BY 1").fetchall()
    assert [row[:3] for row in found] == [("alice", "broken.tar", "gz"), ("bob", "noextension", "")]
    for row in found:
        assert first <= row[3] <= datetime.now(UTC).replace(tzinfo=None)
        assert Path(row[4]).is_file()


def envelopes(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [(user, json.loads(data)) for _, user, _, data in rows]


QUESTION = "SELECT received_at, user_name, id, data FROM enveloped('usage')"


def test_duckdb_opens_envelopes(tmp_path: Path) -> None:
    """Written here as the contract has them; the next test has them from a daemon."""
    place = tmp_path / "usage" / "2026" / "11" / "25" / "13" / "2026112513.test-host.jsonl.gz"
    place.parent.mkdir(parents=True)
    lines = (
        '{"received_at":"2026-11-25T13:01:02.000003Z","user":"alice","id":"a1","host":"test-host","data":{"n": 1}}',
        '{"n":2}',
    )
    place.write_bytes(b"".join(gzip.compress(line.encode() + b"\n") for line in lines))
    rows = tables(tmp_path).execute(QUESTION).fetchall()
    assert rows[0][0] == datetime(2026, 11, 25, 13, 1, 2, 3, tzinfo=UTC)
    assert rows[0][1:3] == ("alice", "a1")
    assert json.loads(rows[0][3]) == {"n": 1}
    assert rows[1] == (None, None, None, None)


@pytest.mark.skipif("records.envelope" not in KEYS, reason="this gateway puts no envelope around records yet")
def test_duckdb_opens_the_envelopes_of_a_daemon(gateway: Make, tmp_path: Path) -> None:
    begun = datetime.now(UTC)
    daemon = gateway(records={"envelope": True}).start()
    assert daemon.put("/usage", b'{"n":1}') == 204
    assert daemon.put("/usage", b"[2]", user="bob") == 204
    assert daemon.stop() == 0
    rows = tables(tmp_path / "objects").execute(QUESTION).fetchall()
    assert envelopes(rows) == [("alice", {"n": 1}), ("bob", [2])]
    for row in rows:
        assert begun.replace(microsecond=0) <= row[0] <= datetime.now(UTC)
        assert row[2]


def test_athena_looks_where_the_daemon_delivers(gateway: Make, tmp_path: Path) -> None:
    before = hour_now()
    daemon = gateway().start()
    assert daemon.put("/usage", b"{}") == 204
    assert daemon.put("/error", b"{}") == 204
    assert daemon.stop() == 0
    keys = sorted(stored(tmp_path / "objects"), reverse=True)
    assert len(keys) == 2
    for stream, key in zip(("usage", "error"), keys, strict=True):
        text = (ATHENA / f"{stream}.sql").read_text()
        properties = dict(re.findall(r"'([a-z.]+)' = '([^']*)'", text))
        # The letters of Java's DateTimeFormatter that stand there, in Python's.
        form = properties["projection.hour.format"]
        for java, python in (("yyyy", "%Y"), ("MM", "%m"), ("dd", "%d"), ("HH", "%H")):
            form = form.replace(java, python)
        assert (properties["projection.hour.interval"], properties["projection.hour.interval.unit"]) == ("1", "HOURS")
        begin, _, end = properties["projection.hour.range"].partition(",")
        assert datetime.strptime(begin, form) < hour_now()
        assert end == "NOW"
        (location,) = re.findall(r"LOCATION '([^']*)'", text)
        assert location == f"s3://insights/{stream}/"
        template = properties["storage.location.template"]
        places = {template.replace("${hour}", hour.strftime(form)) for hour in (before, hour_now())}
        assert f"s3://insights/{key.rpartition('/')[0]}/" in places
        (host,) = re.findall(r"'(\[0-9\][^']*)'", (ATHENA / f"{stream}_view.sql").read_text())
        assert re.findall(host, key) == ["test-host"]


@pytest.mark.parametrize("name", ["usage.sql", "error.sql", "usage_view.sql", "error_view.sql"])
def test_athenas_definitions_are_written_in_its_language(name: str) -> None:
    (tree,) = sqlglot.parse((ATHENA / name).read_text(), dialect="athena")
    assert isinstance(tree, expressions.Create)
    assert tree.kind == ("VIEW" if "view" in name else "TABLE")
