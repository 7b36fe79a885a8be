"""What a history is made of: how many machines, what their S3 honours, what goes wrong and how often. Owns the drawing of
it from chance; nothing happens here."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from lf6gateway.stores.memory import ABLE
from lf6gateway.stores.store import Capabilities
from tests.simulation.chance import Chance
from tests.simulation.disk import Faults
from tests.simulation.network import Weather

NEVER = 1 << 40


@dataclass(frozen=True)
class Plan:
    """A quiet world, unless told otherwise. Rates are probabilities in each step.

    :param twins: a second machine of the same hostname.
    :param honours: what S3 obeys.
    :param probes: whether each life finds that out for itself.
    :param crash: the power goes; ``kill``: the process goes; ``stop``: it is asked to stop.
    :param jump: the wall clock is set.
    :param drop: somebody copies an object so that its metadata are gone.
    :param rot: a bit flips, or a sector cannot be read any more.
    :param down: S3 is not there until so many steps are over.
    :param old_cache: a Go gateway was there before.
    """

    twins: bool = False
    honours: Capabilities = field(default_factory=lambda: replace(ABLE, append_min=NEVER))
    probes: bool = False
    segment_bytes: int = 1 << 20
    max_bytes: int = 10 << 30
    min_free_bytes: int = 0
    crash: float = 0.0
    kill: float = 0.0
    stop: float = 0.0
    jump: float = 0.0
    drop: float = 0.0
    rot: float = 0.0
    down: int = 0
    old_cache: bool = False
    faults: tuple[Faults, ...] = (Faults(), Faults())
    weather: Weather = field(default_factory=Weather)

    @property
    def guarded(self) -> bool:
        """Whether S3 obeys conditions at all. Where it does not, two writers of one key in one moment can collide, and so
        can a request that takes effect when nobody waits for it any more: nothing is promised then."""
        return self.honours.put_if_match


def drawn(chance: Chance, without: Collection[str] = ()) -> Plan:
    """A plan as chance has it.

    :param without: kinds of faults that are left out, to find out which ones matter.
    """

    def draw(kind: str, probability: float) -> bool:
        return chance(probability) and kind not in without

    def rate(kind: str, *rates: float) -> float:
        found = chance.of((0.0, *rates))
        return 0.0 if kind in without else found

    twins = draw("twin", 0.25)
    guarded = not draw("unguarded", 0.15)
    honours = replace(
        ABLE,
        append_min=chance.of((NEVER, 300, 1)),
        part_copy=not draw("no part copy", 0.2),
        complete_if_match=not draw("no complete if-match", 0.2),
    )
    if not guarded:
        twins = False
        honours = replace(honours, put_if_match=False, put_if_absent=False, complete_if_match=False)

    def faults() -> Faults:
        return Faults(
            write=rate("write", 0.0, 0.01, 0.1),
            sync=rate("sync", 0.0, 0.01, 0.1),
            names=rate("names", 0.0, 0.0, 0.02),
            sync_names=rate("sync names", 0.0, 0.0, 0.05),
            capacity=chance.of((None, None, None, 4000)) if "full" not in without else None,
        )

    return Plan(
        twins=twins,
        honours=honours,
        probes=draw("probe", 0.1),
        segment_bytes=chance.of((300, 1000, 1 << 20)),
        max_bytes=chance.of((10 << 30, 10 << 30, 10 << 30, 3000)),
        min_free_bytes=chance.of((0, 0, 1000)),
        crash=rate("crash", 0.0, 0.003, 0.02),
        kill=rate("kill", 0.0, 0.003, 0.02),
        stop=rate("stop", 0.0, 0.003),
        jump=rate("jump", 0.0, 0.003),
        drop=rate("drop", 0.0, 0.0, 0.003),
        rot=rate("rot", 0.0, 0.0, 0.0, 0.01),
        down=chance.of((0, 0, 0, 0, 150)) if "down" not in without else 0,
        old_cache=draw("old cache", 0.08),
        faults=(faults(), faults()),
        weather=Weather(
            lost_before=rate("lost before", 0.0, 0.05, 0.3),
            lost_after=rate("lost after", 0.0, 0.05, 0.3),
            refused=rate("refused", 0.0, 0.05, 0.2),
            ghost=rate("ghost", 0.0, 0.5) if guarded else 0.0,
            stale=rate("stale", 0.0, 0.3) if guarded else 0.0,
        ),
    )
