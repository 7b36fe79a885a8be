"""The short form of the endurance campaign; the long one is ``python -m tests.campaigns.endurance``."""

from __future__ import annotations

from tests.campaigns.endurance import campaign
from tests.campaigns.load import WRONG


def test_what_was_acknowledged_is_in_s3_once() -> None:
    counts = campaign(seconds=20, kill_every=5, outages=1, outage_s=4, interval="1s", seed=7)
    assert {name: counts[name] for name in WRONG} == dict.fromkeys(WRONG, 0), counts
    assert counts["acknowledged"] > 1000
    assert counts["specimens acknowledged"] > 10
