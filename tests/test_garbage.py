"""The collector of cyclic garbage is told what stays, and still finds what does not."""

from __future__ import annotations

import gc
import weakref

from lf6gateway.edges.garbage import YOUNG, spare_what_stays


class Loop:
    def __init__(self) -> None:
        self.itself = self


def test_what_is_there_is_spared_and_what_comes_later_is_still_collected() -> None:
    before = gc.get_threshold()
    try:
        spare_what_stays()
        assert gc.get_freeze_count() > 1_000
        assert gc.get_threshold()[0] == YOUNG
        gone = weakref.ref(Loop())
        kept = [[] for _ in range(2 * YOUNG)]
        assert gone() is None and kept
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
