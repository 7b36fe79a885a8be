"""What histories found that no smaller test shows as well."""

from __future__ import annotations

from lf6gateway.values.stream import Stream
from tests.simulation import verdict
from tests.simulation.chance import Chance
from tests.simulation.plan import Plan
from tests.simulation.world import World, laid_to_rest


def test_a_spool_full_of_what_is_shipped_already_takes_data_again() -> None:
    """Seed 5017: shipped members stayed until their hour was over, and nothing was taken meanwhile."""
    world = World(Chance(1), Plan(max_bytes=3000))
    machine = world.machines[0]
    with laid_to_rest(world):
        world.jump(100)
        machine.start()
        world.until(lambda: machine.life is not None and machine.life.ready, "a start")
        for _ in range(20):
            assert machine.life is not None
            sent = world.new(machine, Stream.USAGE, padding=[50])
            world.ask(sent, machine.life)
            end = world.wall + 62_000_000_000
            world.until(lambda end=end: world.wall >= end, "an interval")
            assert sent.acknowledged is not None
        verdict.finish(world)
        verdict.judge(world)
