"""What fuzzing starts from and what it has found, replayed; and a short look around it."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.corpus import inputs
from tests.fuzz.targets import TARGETS

CASES = [(target, name, data) for target in TARGETS for name, data in inputs(target)]


@pytest.mark.parametrize("target", TARGETS)
def test_what_was_found_once_breaks_no_promise(target: str) -> None:
    broken = []
    for name, data in inputs(target):
        try:
            TARGETS[target](data)
        except Exception as error:
            broken.append((name, repr(error)[:300]))
    assert not broken
    assert inputs(target)


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_near_what_is_kept_breaks_a_promise(target: str) -> None:
    kept = [data for _, data in inputs(target) if len(data) < 2_000]

    @settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(
        st.sampled_from(kept), st.integers(0, 2_000), st.integers(0, 40), st.binary(max_size=20), st.sampled_from(kept)
    )
    def look(data: bytes, at: int, cut: int, put: bytes, other: bytes) -> None:
        at %= len(data) + 1
        TARGETS[target](data[:at] + put + data[at + cut :])
        TARGETS[target](data[:at] + other[at:])

    look()
