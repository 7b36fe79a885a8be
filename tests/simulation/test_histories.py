"""Some thousand histories of the real gateway in a simulated world; the long form is ``python -m tests.simulation``."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter

import pytest

from tests.simulation.campaign import STEPS, report
from tests.simulation.chance import Chance
from tests.simulation.coverage import MUST, missing
from tests.simulation.world import history

EACH = 125


@pytest.mark.parametrize("first", range(0, 8 * EACH, EACH))
def test_what_was_acknowledged_is_there_once_whatever_happens(first: int) -> None:
    counts: Counter[str] = Counter()
    for seed in range(first, first + EACH):
        try:
            counts += history(Chance(seed), STEPS)
        except Exception:
            report(seed, STEPS, 500)  # the shortest form of it, and how to replay it
            raise
    # Each part has met most of what there is to be met; the long form has to meet all of it.
    assert counts["acknowledged"] > 10 * EACH
    assert counts["records found"] > 10 * EACH
    assert len(missing(counts)) < len(MUST) // 3, missing(counts)


def test_a_seed_is_the_same_history_each_time() -> None:
    code = (
        "from tests.simulation.chance import Chance\n"
        "from tests.simulation.world import history\n"
        "for seed in (3, 26, 121, 204):\n"
        "    told = []\n"
        "    chance = Chance(seed)\n"
        "    counts = history(chance, 300, watched=told.append)\n"
        "    print(len(told), told[-1], sorted(counts.items()), sum(chance.drawn))\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hashing},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hashing in ("1", "2")
    }
    assert len(outputs) == 1
