"""Fixed short stories, in each of which the machine dies at every moment in turn: at each effect on disk, each message to
the reactor, each request that takes effect and each answer. Owns the stories and the ways to die; the verdict is that of
every history."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache

from lf6gateway.stores.memory import ABLE
from lf6gateway.values.slot import Slot
from lf6gateway.values.stream import Stream
from tests.simulation import damage, verdict
from tests.simulation.chance import Chance
from tests.simulation.machine import Machine
from tests.simulation.network import Thing
from tests.simulation.plan import NEVER, Plan
from tests.simulation.sent import Sent
from tests.simulation.world import START_NS, World, laid_to_rest

MODES = {"kill": None, "nothing-kept": 0.0, "half-kept": 0.5, "all-kept": 1.0}
"""The process dies; or the power goes, and of what was not synced so much is kept."""


class _Dead(Exception):
    """The moment has come."""


class _Story:
    """A world to which things are done one after the other.

    :param last: the moment at which the machine dies; never if ``None``.
    """

    def __init__(self, plan: Plan, last: int | None, watched: Callable[[str], None] | None) -> None:
        self.world = World(Chance(7), plan, watched=watched)
        self.machine: Machine = self.world.machines[0]
        self._last = last

    def start(self) -> None:
        self.machine.start()
        self.until(lambda: self._life.ready, "a start")

    def stop(self) -> None:
        self._life.stop()
        self.until(lambda: self._life.stopped, "a stop")
        self.world.over(self.machine, self._life)

    def send(self, stream: Stream, *, keyed: bool = False, count: int = 1, user: str = "alice") -> Sent:
        sent = self.world.new(self.machine, stream, user=user, keyed=keyed, padding=[20] * count)
        self.again(sent)
        return sent

    def again(self, sent: Sent) -> None:
        self.world.ask(sent, self._life)
        self.until(lambda: sent not in self.world.outstanding, "an answer")

    def all_kinds(self) -> None:
        """Something of each stream, with a key and without one, some of it at the same time."""
        for stream in Stream:
            one = self.world.new(self.machine, stream, keyed=stream is Stream.USAGE, padding=[20])
            self.world.ask(one, self._life)
        self.send(Stream.USAGE, count=3, user="bob")

    def wait(self, seconds: int) -> None:
        end = self.world.wall + seconds * 1_000_000_000
        self.until(lambda: self.world.wall >= end, "some time")

    def until(self, done: Callable[[], bool], what: str) -> None:
        def look() -> bool:
            if self._last is not None and self.world.moments >= self._last:
                raise _Dead
            return done()

        self.world.until(look, what)

    @property
    def _life(self):  # type: ignore[no-untyped-def]
        assert self.machine.life is not None
        return self.machine.life


def _intervals(story: _Story) -> None:
    """Two intervals in one hour, and the hour's turn."""
    story.start()
    story.all_kinds()
    story.wait(63)
    story.all_kinds()
    story.wait(100)


def _restart(story: _Story) -> None:
    """S3 is away; a stop leaves all on disk, and the next start delivers it, and knows the keys."""
    story.world.server.down = True
    story.start()
    keyed = story.send(Stream.USAGE, keyed=True)
    specimen = story.send(Stream.SPECIMEN, keyed=True)
    story.send(Stream.ERROR)
    story.wait(62)
    story.machine.crash(power=False)
    story.world.server.down = False
    story.start()
    story.again(keyed)
    story.again(specimen)
    story.send(Stream.USAGE)
    story.stop()


def _adoption(story: _Story) -> None:
    """A Go gateway was there before."""
    story.start()
    story.send(Stream.USAGE)
    story.stop()


def _rebuild(story: _Story) -> None:
    """Somebody else's object lies there, and the store cannot append: it is fetched and written anew."""
    slot = Slot.at(START_NS)
    key = f"usage/{slot.path}/{slot.name}.host.jsonl.gz"
    foreign = story.world.new(story.machine, Stream.USAGE, padding=[5])
    foreign.hours.add(slot.number)
    foreign.acknowledged = 0
    story.world.server.objects[key] = Thing(gzip.compress(foreign.data), {}, '"foreign"')
    story.start()
    story.send(Stream.USAGE)
    story.wait(63)
    story.send(Stream.USAGE)
    story.stop()


def _damaged(story: _Story) -> None:
    """Bits flipped in a segment, a member, a specimen, a ledger and the keys while nothing ran."""
    story.world.server.down = True
    story.start()
    story.send(Stream.USAGE, keyed=True)
    story.send(Stream.USAGE)
    story.send(Stream.SPECIMEN)
    story.wait(62)
    story.send(Stream.ERROR)
    story.send(Stream.ERROR)
    story.machine.crash(power=False)
    disk = story.machine.disk
    for path in damage.candidates(disk):
        at = 60 if path.endswith(".seg") else len(disk.inode(path).data) // 2
        damage.cost(disk, path, at, at + 1, story.world.requests, {}, forgets=False)
        damage.flip(disk.inode(path), at, 0)
        story.world.note_damage(story.machine, path)
    story.world.server.down = False
    story.start()
    story.send(Stream.USAGE)
    story.stop()


SCENARIOS: dict[str, tuple[Plan, Callable[[_Story], None]]] = {
    "mirror": (Plan(), _intervals),
    "append": (Plan(honours=replace(ABLE, append_min=1)), _intervals),
    "compare": (
        Plan(honours=replace(ABLE, append_min=NEVER, put_if_match=False, put_if_absent=False, complete_if_match=False)),
        _intervals,
    ),
    "rebuild": (Plan(honours=replace(ABLE, append_min=NEVER, part_copy=False)), _rebuild),
    "restart": (Plan(segment_bytes=150), _restart),
    "adoption": (Plan(old_cache=True), _adoption),
    "damaged": (Plan(), _damaged),
}


@cache
def moments(scenario: str) -> int:
    """How many moments a story has to its end."""
    plan, tell = SCENARIOS[scenario]
    story = _Story(plan, None, None)
    with laid_to_rest(story.world):
        tell(story)
        return story.world.moments


def every() -> Iterator[tuple[str, int, str]]:
    """Every crash point there is: story, moment, way."""
    for scenario in SCENARIOS:
        for moment in range(moments(scenario) + 1):
            for mode in MODES:
                yield scenario, moment, mode


def name_of(scenario: str, moment: int, mode: str) -> str:
    """As the command line takes it."""
    return f"{scenario}:{moment}:{mode}"


def crashed(scenario: str, moment: int, mode: str, watched: Callable[[str], None] | None = None) -> Counter[str]:
    """Tell a story up to a moment, let the machine die, and see that nothing is lost; what happened.

    :raises Wrong: a promise was broken.
    """
    plan, tell = SCENARIOS[scenario]
    story = _Story(plan, moment, watched)
    world = story.world
    with laid_to_rest(world):
        try:
            tell(story)
        except _Dead:
            pass
        world.server.down = False
        if story.machine.life is not None:
            world.crash(story.machine, power=mode != "kill", keep=MODES[mode])
        verdict.finish(world)
        verdict.judge(world)
    world.counts["crash points"] = 1
    return world.counts
