"""Histories in which a promise was broken once. They are told by their seed, so a change of the program or of the world can
make other histories of them; each fault has a test of its own besides, where one can be told in a few lines."""

from __future__ import annotations

import pytest

from tests.simulation.campaign import STEPS
from tests.simulation.chance import Chance
from tests.simulation.world import history


@pytest.mark.parametrize(
    ("seed", "what"),
    [
        (
            504,
            "a start synced the segment being written to, and was told the error that the flush should have been told",
        ),
        (1932, "a damaged ledger was set aside, the start died, and the next one took none for «nothing was sent»"),
        (
            6138,
            "a sync failed, the process was killed, and the next one's sync succeeded: a key counted, its record was lost",
        ),
        (15411, "an error behind an hour's turn refused what the hour before had on stable storage already"),
        (
            20724,
            "sealing failed behind the renaming; the segment was damaged, and its member was shipped behind the next",
        ),
        (
            53587,
            "a specimen was compared with its digest, waited for the store, was damaged, and went to it unseen",
        ),
        (
            142409,
            "a specimen's name could neither be made durable nor be removed; it was refused, sent again, and both went",
        ),
        (41522, "what failed behind the renaming of a shipped specimen was tried again; its bytes counted for ever"),
    ],
)
def test_what_was_found_once_breaks_no_promise(seed: int, what: str) -> None:
    history(Chance(seed), STEPS)
