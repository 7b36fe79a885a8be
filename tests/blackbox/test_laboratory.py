"""The short form of the campaign of all faults: each kind once. The long one is ``make campaign``."""

from __future__ import annotations

from tests.campaigns.laboratory import WRONG, campaign


def test_each_kind_of_fault_once_and_nothing_is_lost_or_doubled() -> None:
    counts = campaign(rounds=1, minutes=0, seconds=0.3, minute=0, interval="500ms", seed=3, only=[])
    assert {name: counts.get(name, 0) for name in WRONG} == dict.fromkeys(WRONG, 0), counts
    assert counts["faults"] > 15
    assert counts["acknowledged"] > 500
