"""Each rule: what makes it true, what does not, and that it says what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lf6gateway.values import status as shape
from lf6gateway.values.alert_rules import RULES, Condition, conditions
from lf6gateway.values.settings_alerts import NAMES, Alerts
from lf6gateway.values.size import GIB
from lf6gateway.values.surges import ALL, Surge
from tests.status_support import AT, SPOOL, STORE, TERMS, WAITING, facts, stream


def found(terms: Alerts = TERMS, **parts: object) -> dict[tuple[str, str], Condition]:
    made = conditions(facts(**parts), terms)
    assert all(one.summary and one.remedy for one in made)
    return {(one.name, one.subject): one for one in made}


def test_all_is_well() -> None:
    assert found() == {}


@pytest.mark.parametrize(("name", "age", "told"), [
    ("usage", 1800.0, False), ("usage", 1801.0, True),
    ("error", 180.0, False), ("error", 181.0, True),
    ("specimen", 1800.0, False), ("specimen", 1801.0, True),  # as the slowest of the others
])  # fmt: skip
def test_records_that_wait_for_more_than_three_intervals(name: str, age: float, told: bool) -> None:
    streams = {one: stream() for one in ("usage", "error", "specimen")}
    streams[name] = stream(replace(WAITING, oldest_s=age))
    assert set(found(streams=streams)) == ({("records_wait", name)} if told else set())


def test_a_store_that_fails_is_told_of_once_for_all_its_streams_with_its_remedy() -> None:
    failing = replace(
        STORE, failing_s=301.0, cause="denied", detail="put x: no", remedy="give it the right s3:PutObject"
    )
    streams = {"usage": stream(store=failing), "error": stream(store=failing), "specimen": stream()}
    assert set(found(streams=streams)) == {("store_failing", "insights")}
    told = found(streams=streams)["store_failing", "insights"]
    assert told.remedy == "give it the right s3:PutObject" and "usage, error" in told.summary
    young = {name: stream(store=replace(failing, failing_s=300.0)) for name in streams}
    assert not found(streams=young)
    streams["error"] = stream(store=replace(failing, name="other"))
    assert set(found(streams=streams)) == {("store_failing", "insights"), ("store_failing", "other")}


@pytest.mark.parametrize(
    ("spool", "told"),
    [
        (replace(SPOOL, free_bytes=GIB), None),
        (replace(SPOOL, free_bytes=GIB - 1), ("disk_low", "bytes")),
        (replace(SPOOL, free_inodes=999), ("disk_low", "inodes")),
        (replace(SPOOL, free_bytes=None, free_inodes=None), None),
        (replace(SPOOL, failing=True), ("disk_failing", "")),
        (replace(SPOOL, used_bytes=8 * GIB), None),
        (replace(SPOOL, used_bytes=8 * GIB + 1), ("spool_filling", "")),
    ],
)
def test_disk_and_spool(spool: shape.SpoolStatus, told: tuple[str, str] | None) -> None:
    assert set(found(spool=spool)) == ({told} if told else set())


def test_a_quarantine_that_is_not_empty() -> None:
    item = shape.QuarantineItem("usage/x.seg", "usage", 10, AT, "there is no frame here", "/spool/x.seg")
    told = found(quarantine=shape.QuarantineStatus(1, 10, 0, (item,)))["quarantine", ""]
    assert "usage/x.seg" in told.summary and "there is no frame here" in told.summary


def test_more_error_reports_than_usual() -> None:
    told = found(surges=[Surge(ALL, 5000, 100.0), Surge("alice", 4000, 10.0)])
    assert set(told) == {("error_surge", ""), ("error_surge", "alice")}
    assert "all users" in told["error_surge", ""].summary and "alice" in told["error_surge", "alice"].summary


def test_each_rule_can_be_switched_off() -> None:
    assert set(RULES) == set(NAMES)
    spool = replace(SPOOL, failing=True, free_bytes=0)
    assert found(spool=spool) and not found(Alerts(disabled=("disk",)), spool=spool)
