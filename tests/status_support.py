"""A ``Status`` for tests that decide on one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from lf6gateway.values import status as shape
from lf6gateway.values.alert_rules import Facts
from lf6gateway.values.settings_alerts import Alerts
from lf6gateway.values.size import GIB

AT = datetime(2026, 11, 25, 12, tzinfo=UTC)
TERMS = Alerts()
STORE = shape.StoreState("insights", "closed", 0.0, 0.0, None, None, None, {}, 0, None)
WAITING = shape.Waiting(0, 0, 0, 0, 0, None, 0.0)
SPOOL = shape.SpoolStatus(0, 10 * GIB, 10 * GIB, 50 * GIB, 1_000_000, GIB, 1_000, False)


def stream(waiting: shape.Waiting = WAITING, store: shape.StoreState = STORE) -> shape.StreamStatus:
    return shape.StreamStatus({}, {}, 0, waiting, {}, store, None)


def status(**parts: Any) -> shape.Status:
    made = shape.Status(
        version=shape.VERSION,
        at=AT,
        gateway=shape.About("1", "3", "26", "host", 1, AT, 0.0, "/cache", "0" * 16, 1),
        ready=shape.Readiness(True),
        streams={name: stream() for name in ("usage", "error", "specimen")},
        users={},
        spool=SPOOL,
        quarantine=shape.QuarantineStatus(0, 0, 0, ()),
        public=shape.PublicPort((), 0, 0, {}, {}, {}),
        process=shape.ProcessStatus(0.0, None, (), (), 0),
        shipped=(),
        errors=(),
        settings={},
    )
    return replace(made, **parts)


def facts(surges: Any = (), **parts: Any) -> Facts:
    return Facts(status(**parts), {"usage": 600.0, "error": 60.0}, surges)
