"""The machine dies at every moment of a story; here a third of the moments, each in one of the ways. All of them:
``python -m tests.simulation --crash-points``."""

from __future__ import annotations

import pytest

from tests.simulation.crash_points import MODES, SCENARIOS, crashed, moments, name_of

STRIDE = 3


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_dying_at_any_moment_loses_and_doubles_nothing(scenario: str) -> None:
    ways = list(MODES)
    whole = moments(scenario)
    assert whole > 200
    for number, moment in enumerate(range(len(scenario) % STRIDE, whole + 1, STRIDE)):
        point = (scenario, moment, ways[number % len(ways)])
        try:
            crashed(*point)
        except Exception as error:
            error.add_note(f"replay it by: python -m tests.simulation --crash-point {name_of(*point)}")
            raise
