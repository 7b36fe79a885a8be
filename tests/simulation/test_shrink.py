"""A failing seed becomes a short history that fails in the same way; proved by breaking the disk on purpose."""

from __future__ import annotations

from itertools import islice

import pytest

from tests.simulation import disk
from tests.simulation.campaign import STEPS, fails_with, report, shorten
from tests.simulation.chance import Chance
from tests.simulation.shrink import Failing, shrunk
from tests.simulation.world import history


def test_what_matters_is_kept_and_the_rest_goes() -> None:
    whole = Failing(100, tuple(0.5 for _ in range(300)))

    def fails(one: Failing) -> bool:
        return one.steps >= 7 and sum(1 for choice in one.choices if choice) >= 3

    short = shrunk(whole, fails, 10_000)
    assert short.size == (7, 3, 3)


def test_a_disk_that_lies_about_its_sync_is_found_and_told_shortly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(disk.Handle, "sync", lambda self: None)
        # How far one seed can be shortened in so few tries is chance; that some can is not.
        found = (seed for seed in range(200) if _fails(seed))
        tried = ((seed, *shorten(seed, STEPS, 60)) for seed in islice(found, 20))
        seed, short, way = next(one for one in tried if one[1].steps < STEPS // 2)
        assert fails_with(short) == way
    assert fails_with(short) is None
    with pytest.raises(ValueError, match="does not fail"):
        report(seed, STEPS)
    assert capsys.readouterr().out == ""


def _fails(seed: int) -> bool:
    try:
        history(Chance(seed), STEPS)
    except Exception:
        return True
    return False
