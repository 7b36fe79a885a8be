"""A ``Status`` with something in every part of it, made from one text, so that a test can see where the text ends up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from lf6gateway.values import status as shape
from lf6gateway.values.history import Point, StreamPoint
from lf6gateway.values.status import Status

NOW = datetime(2026, 5, 4, 12, 30, 0, tzinfo=UTC)
STREAMS = ("usage", "error", "specimen")


def stream(text: str, *, failing_s: float = 0.0, waiting: int = 0) -> shape.StreamStatus:
    """One stream."""
    return shape.StreamStatus(
        received={one: shape.Received(1234, 5, 6, 1200, 98_765, 0.002, 0.02, 0.05) for one in shape.SPANS},
        codes={"204": 1223},
        aborted=0,
        waiting=shape.Waiting(1, waiting, 2, 3, 4_000, NOW - timedelta(seconds=90), 90.0),
        shipped={one: shape.Shipped(3, 1_100, 40_000) for one in shape.SPANS},
        store=shape.StoreState(
            text, "open" if failing_s else "closed", failing_s, 7.0, text, text, text, {"denied": 4}, 2, NOW
        ),
        flushes=shape.Flushes(10, 0, 1.5, 0.001, 0.002),
    )


def status(text: str = "plain", *, failing_s: float = 60.0, ready: bool = False, trouble: bool = True) -> Status:
    """All of it, every text of which is the same.

    :param trouble: whether there are errors, alerts, and something in quarantine.
    """
    quarantined = shape.QuarantineItem(text, text, 42, NOW, text, text)
    users = shape.Users(2, (shape.UserVolume(text, 1, 2, 3), shape.UserVolume(text, 4, 5, 6)), 0)
    return Status(
        version=1,
        at=NOW,
        gateway=shape.About(text, text, text, text, 4711, NOW - timedelta(hours=2), 7200.0, text, text, 2),
        ready=shape.Readiness(ready, None if ready else text, None if ready else text, None if ready else 5),
        streams={name: stream(text, failing_s=failing_s, waiting=3) for name in STREAMS},
        users=dict.fromkeys(shape.SPANS, users),
        spool=shape.SpoolStatus(9 << 20, 10 << 20, 1 << 20, 500 << 20, 100_000, 256 << 20, 1_000, trouble),
        quarantine=shape.QuarantineStatus(1, 42, 1, (quarantined,)) if trouble else shape.QuarantineStatus(0, 0, 0, ()),
        public=shape.PublicPort((text,), 12, 345, {text: 1}, {text: 2}, {text: 3}),
        process=shape.ProcessStatus(
            0.001, 0.01, (shape.Pool(text, 4, 1, 0, 99),), (shape.WorkerStatus(12, True, 5.0, 6),), 0
        ),
        shipped=(shape.ShippedObject(text, text, text, 7, 800, 9000, NOW),),
        errors=(shape.ErrorSeen(text, text, text, text, 3, NOW, NOW),) if trouble else (),
        settings={"cache_dir": text, "admin.token": "***", "admin.hosts": [text], "admin.links": True, "s3": None},
        alerts=(shape.AlertSeen(text, text, "firing", "critical", text, text, NOW),) if trouble else (),
    )


def minutes(count: int = 90, requests: int = 10) -> tuple[Point, ...]:
    """As many minutes, the last of which ends now."""
    end = NOW.timestamp()
    one = StreamPoint(requests, 1, 0, requests, 1_000, 1, requests, 500, 0.001, 0.004, 0.009)
    return tuple(
        Point(end - 60 * (count - 1 - place), dict.fromkeys(STREAMS, one), 1_000 * place, 1 << 30, 30.0, 5)
        for place in range(count)
    )
