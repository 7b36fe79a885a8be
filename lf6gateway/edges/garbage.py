"""How often the collector of cyclic garbage runs in a process that is the gateway's own. Owns that setting; must never
be used where the gateway is a guest."""

from __future__ import annotations

import gc
from typing import Final

YOUNG: Final = 20_000
"""So many new containers are looked through at once. With the interpreter's 700 the requests that wait for one flush
count as old after two looks, and all that is old is soon looked through while everybody waits."""


def spare_what_stays() -> None:
    """Leave out of every later look what is there now: modules, settings, services, which stay to the end."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)
