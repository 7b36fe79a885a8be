"""The end of a history, and the comparison of what was acknowledged with what is there. Owns the verdict: each record
exactly once, whole, in order, in its hour; each specimen under its user, with its bytes; nothing else anywhere; nothing left
on disk; and set aside only what the disk itself damaged."""

from __future__ import annotations

import gzip
import json
import re
from collections import defaultdict
from typing import TYPE_CHECKING

from lf6gateway.values.slot import Slot
from lf6gateway.values.stream import RECORD_STREAMS, Stream
from tests.simulation.machine import Life, Machine
from tests.simulation.sent import Sent, Wrong

if TYPE_CHECKING:
    from tests.simulation.world import World

Places = dict[tuple[int, int], list[tuple[int, int]]]
"""By request and part: the hours and places in which it is found."""

KEYS_LATER_S = 24 * 3600
"""When every idempotency key is forgotten, also of a clock that was ahead."""


def finish(world: World) -> None:
    """All that is on disk gets its chance to be delivered, and once more, for what a start finds then must change
    nothing."""
    # A stop that began in the time of trouble may end early, for good reasons.
    world.until(
        lambda: all(one.life is None or one.life.stopping is None or one.life.stopped for one in world.machines),
        "a stop",
    )
    for machine in world.machines:
        if machine.life is not None and machine.life.stopped:
            world.over(machine, machine.life)
        if machine.life is None:
            machine.start()
    _ready(world, "the last start")
    _takes_data_again(world)
    _stop(world, "the last stop")
    world.go_by(KEYS_LATER_S * 1_000_000_000)
    for machine in world.machines:
        world.over(machine, _life(machine))
        machine.start()
    _ready(world, "another start")
    later = world.wall + 70_000_000_000
    world.until(lambda: world.wall >= later, "a minute")
    _stop(world, "another stop")
    for machine in world.machines:
        look_at_the_disk(world, machine)
    world.server.flights.clear()


def _life(machine: Machine) -> Life:
    assert machine.life is not None
    return machine.life


def _ready(world: World, what: str) -> None:
    def begun() -> bool:
        return all(_life(one).ready or _life(one).stopped for one in world.machines)

    world.until(begun, what)
    for machine in world.machines:
        if machine.died_of is not None:  # of a fault that was on its way when all became calm
            world.over(machine, _life(machine))
            machine.start()
    world.until(begun, what)
    for machine in world.machines:
        if machine.died_of is not None:
            raise Wrong(f"{what} failed: {machine.died_of.getTraceback()}")


def _stop(world: World, what: str) -> None:
    for machine in world.machines:
        if _life(machine).stopping is None:
            _life(machine).stop()
    world.until(lambda: all(_life(one).stopped for one in world.machines), what)


def _takes_data_again(world: World) -> None:
    """Once nothing is wrong any more, a gateway takes data by itself, within minutes."""
    late = world.wall + 600_000_000_000
    for machine in world.machines:
        sent = world.new(machine, Stream.USAGE, padding=[1])
        while sent.acknowledged is None:
            if world.wall > late:
                refusal = _life(machine).gateway.receiver.refusal(len(sent.data))
                raise Wrong(f"{machine.name} takes no data though nothing is wrong any more: {refusal}")
            world.ask(sent, _life(machine))
            soon = world.wall + 1_000_000_000
            world.until(lambda soon=soon, sent=sent: sent.acknowledged is not None or world.wall > soon, "a second")


def look_at_the_disk(world: World, machine: Machine) -> None:
    """Nothing is left but what has to stay, and what was set aside had been damaged.

    :raises Wrong: it is not so.
    """
    left = [name for name in machine.disk.files("/cache/") if not name.startswith("/cache/quarantine/")]
    if left != ["/cache/spool.json"]:
        raise Wrong(f"{machine.name}: left on disk: {left}")
    used = _life(machine).gateway.assembly.space.used
    if used:
        raise Wrong(f"{machine.name}: the spool is said to hold {used} bytes, and is empty")
    for name in machine.disk.files("/cache/quarantine/"):
        if name.endswith(".why.json"):
            continue
        world.counts["files in quarantine"] += 1
        if name + ".why.json" not in machine.disk.names:
            raise Wrong(f"{machine.name}: {name} lies there without a note")
        note = json.loads(bytes(machine.disk.inode(name + ".why.json").data))
        source = origin(machine.name, note["from"])
        torn = machine.disk.unsynced_lost and (
            note["from"].endswith((".seg", ".adopt")) or note["from"] in machine.disk.withdrawn
        )
        if source not in world.rotten and not torn:
            raise Wrong(f"{machine.name}: set aside though nothing had damaged it: {note}")


def origin(machine: str, path: str) -> str:
    """What stays of a file's name whatever it is renamed to."""
    return machine + re.sub(r"\.(spec|key|seg|adopt)$", "", path)


def judge(world: World) -> None:
    """Compare what was acknowledged with what is there.

    :raises Wrong: they differ.
    """
    places: Places = defaultdict(list)
    for key, thing in world.server.objects.items():
        if not key.endswith(".jsonl.gz"):
            continue
        stream = Stream(key.partition("/")[0])
        slot = Slot.parse(key.rpartition("/")[2].partition(".")[0])
        if key != f"{stream.value}/{slot.path}/{slot.name}.host.jsonl.gz":
            raise Wrong(f"an object has a strange key: {key}")
        for place, line in enumerate(gzip.decompress(thing.data).splitlines()):
            number, part = map(int, json.loads(line)["id"].split("."))
            sent = world.requests[number]
            places[number, part].append((slot.number, place))
            world.counts["records found"] += 1
            if sent.stream is not stream:
                raise Wrong(f"record {number}.{part} is in the object of {stream.value}")
            if line not in sent.data.splitlines():
                raise Wrong(f"record {number}.{part} is not as it was sent: {line!r}")
    for sent in world.requests:
        if sent.stream is Stream.SPECIMEN:
            _judge_specimen(world, sent)
        else:
            _judge_records(sent, places)
    for stream in RECORD_STREAMS:
        for machine in world.machines:
            _judge_order(world, stream, machine, places)
    if not all(key.startswith(("usage/", "error/", "specimen/", "probe.")) for key in world.server.objects):
        raise Wrong(f"foreign objects: {sorted(world.server.objects)}")


def _judge_records(sent: Sent, places: Places) -> None:

    for part in range(sent.count):
        found = places.get((sent.number, part), [])
        if sent.acknowledged is not None and not found and not sent.hurt:
            raise Wrong(f"lost: {sent}")
        if len(found) > sent.most:
            raise Wrong(f"doubled: {len(found)} times at {found}: {sent}")
        if any(hour not in sent.hours for hour, _ in found):
            raise Wrong(f"in the wrong hour: {found}: {sent}")
        first = places.get((sent.number, 0), [])
        if [(hour, place - part) for hour, place in found] != first:
            raise Wrong(f"a batch in part, or not in one piece: {first} and {found}: {sent}")


def _judge_order(world: World, stream: Stream, machine: Machine, places: Places) -> None:
    done = [
        sent
        for sent in world.requests
        if sent.stream is stream and sent.machine is machine and sent.acknowledged and sent.asked == 1
    ]
    last: dict[int, tuple[int, int]] = {}
    for sent in sorted(done, key=lambda sent: sent.acknowledged or 0):
        for hour, place in places.get((sent.number, 0), []):
            if place < last.get(hour, (-1, -1))[0]:
                raise Wrong(f"out of order: {sent} stands before request {last[hour][1]}")
            last[hour] = (place, sent.number)


def _judge_specimen(world: World, sent: Sent) -> None:
    mine = {key: thing for key, thing in world.server.objects.items() if f"/file-{sent.number}." in key}
    for key, thing in mine.items():
        if not key.startswith(f"specimen/{sent.user}/") or thing.data != sent.data:
            raise Wrong(f"damaged, or another user's: {key}: {sent}")
        if thing.metadata.get("uri") != f"file-{sent.number}.txt" or thing.metadata.get("user") != sent.user:
            raise Wrong(f"its metadata are wrong: {thing.metadata}: {sent}")
        moment = int(key.split(".")[-2])
        if moment // (3_600 * 1_000_000_000) not in sent.hours:
            raise Wrong(f"in the wrong hour: {key}: {sent}")
        world.counts["specimens found"] += 1
    if sent.acknowledged is not None and not mine and not sent.hurt:
        raise Wrong(f"lost: {sent}")
    if len(mine) > sent.most:
        raise Wrong(f"doubled: {sorted(mine)}: {sent}")
