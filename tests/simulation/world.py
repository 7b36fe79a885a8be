"""One history: machines, a server, senders, faults, and at the end the comparison of what was acknowledged with what is
there. Owns the order in which things happen, and the verdict."""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from lf6gateway.disk.unavailable import SpoolUnavailable
from lf6gateway.stores.memory import ABLE
from lf6gateway.values.slot import HOUR_NS, Slot
from lf6gateway.values.stream import RECORD_STREAMS, Stream
from tests.simulation.chance import Chance
from tests.simulation.disk import Faults
from tests.simulation.machine import Life, Machine, small_settings
from tests.simulation.network import Server, Weather

START_NS = 490_000 * HOUR_NS + HOUR_NS - 90_000_000_000
"""A minute and a half before an hour's end."""
KEY_SURE_NS = 45 * 60 * 1_000_000_000
"""For so long a repetition of a key is certainly within its hour."""
USERS = ("alice", "bob")


class Wrong(AssertionError):
    """A promise was broken."""


@dataclass(eq=False)
class Sent:
    """One request of a sender, and what it knows of it."""

    number: int
    stream: Stream
    user: str
    machine: Machine
    count: int
    key: str | None
    data: bytes
    hours: set[int] = field(default_factory=set)
    first_ns: int = 0
    jumps: int = 0
    asked: int = 0
    acknowledged: int | None = None
    """Its place among all acknowledgements."""
    doubtful: bool = False
    """It was under way when the clock jumped, so its key may have been forgotten."""

    @property
    def most(self) -> int:
        """How often it may be there."""
        return 1 if self.key is not None and not self.doubtful else max(1, self.asked)


class World:
    """See the module.

    :param kinds: names of faults that are left out, to find out which ones matter.
    """

    def __init__(self, chance: Chance, *, without: frozenset[str] = frozenset()) -> None:
        self.chance = chance
        self.without = without
        self.wall = START_NS
        self.jumps = 0
        self.log: list[str] = []
        self.requests: list[Sent] = []
        self.outstanding: list[Sent] = []
        self.acknowledgements = 0
        self.counts: Counter[str] = Counter()
        twins = self._draw("twin", 0.25)
        guarded = not self._draw("unguarded", 0.15)
        honours = replace(
            ABLE,
            append_min=chance.of((1 << 40, 300, 1)),
            part_copy=not self._draw("no part copy", 0.2),
            complete_if_match=not self._draw("no complete if-match", 0.2),
        )
        if not guarded:
            twins = False
            honours = replace(honours, put_if_match=False, put_if_absent=False, complete_if_match=False)
        self.guarded = guarded
        self.server = Server(chance, honours)
        settings = small_settings(chance.of((300, 1000, 1 << 20)))
        self.machines = [
            Machine(name, chance, self.server, settings, lambda: self.wall) for name in ("one", "two")[: 1 + twins]
        ]
        for machine in self.machines:
            machine.probes = chance(0.05)

    def _draw(self, kind: str, probability: float) -> bool:
        return self.chance(probability) and kind not in self.without

    def _rate(self, kind: str, rates: tuple[float, ...]) -> float:
        rate = self.chance.of((0.0, *rates))
        return 0.0 if kind in self.without else rate

    # The story.

    def run(self, steps: int) -> None:
        """A time of trouble, a time of calm, and the verdict."""
        chance = self.chance
        self.trouble = {
            "crash": self._rate("crash", (0.0, 0.003, 0.02)),
            "kill": self._rate("kill", (0.0, 0.003, 0.02)),
            "stop": self._rate("stop", (0.0, 0.003)),
            "jump": self._rate("jump", (0.0, 0.003)),
            "drop": self._rate("drop", (0.0, 0.0, 0.003)),
        }
        for machine in self.machines:
            machine.disk.calm = False
            machine.disk.faults = Faults(
                write=self._rate("write", (0.0, 0.01, 0.1)),
                sync=self._rate("sync", (0.0, 0.01, 0.1)),
                names=self._rate("names", (0.0, 0.0, 0.02)),
                sync_names=self._rate("sync names", (0.0, 0.0, 0.05)),
                capacity=chance.of((None, None, None, 4000)) if "full" not in self.without else None,
            )
        self.server.calm = False
        self.server.weather = Weather(
            lost_before=self._rate("lost before", (0.0, 0.05, 0.3)),
            lost_after=self._rate("lost after", (0.0, 0.05, 0.3)),
            refused=self._rate("refused", (0.0, 0.05, 0.2)),
            ghost=self._rate("ghost", (0.0, 0.5)) if self.guarded else 0.0,
            stale=self._rate("stale", (0.0, 0.3)) if self.guarded else 0.0,
        )
        for machine in self.machines:
            machine.start()
        for _ in range(steps):
            self._step()
        self._calm()
        self._finish()
        self._judge()

    def _step(self) -> None:
        chance = self.chance
        self.server.now = self.wall
        machine = chance.of(self.machines)
        life = machine.life
        if life is None:
            if chance(0.3):
                self._say(f"{machine.name} starts")
                machine.start()
            return
        if life.stopped:
            self._over(machine, life)
            return
        for what in ("crash", "kill"):
            if chance(self.trouble[what]):
                self._say(f"{machine.name}: {what}")
                self.counts[what] += 1
                machine.crash(power=what == "crash")
                self.outstanding = [sent for sent in self.outstanding if sent.machine is not machine]
                return
        if life.ready and life.stopping is None and chance(self.trouble["stop"]):
            self._say(f"{machine.name} is asked to stop")
            self.counts["stop"] += 1
            life.stop()
            return
        if chance(self.trouble["jump"]):
            by = chance.of((-7200, -30, 30, 1800, 3600, 7200)) * 1_000_000_000
            self._say(f"the clock jumps by {by // 1_000_000_000} s")
            self.counts["jump"] += 1
            self.jumps += 1
            self._pass(by)
            for sent in self.outstanding:
                sent.doubtful = True
        if chance(self.trouble["drop"]) and not any(one.life and one.life.stopping for one in self.machines):
            self.counts["metadata removed"] += 1
            self._strip()
        if life.ready and life.stopping is None and chance(0.12):
            self._send(machine, life)
            return
        self._move(life)

    def _move(self, life: Life) -> None:
        """Something goes on by itself: a thread, a message to the reactor, a request, or time."""
        chance = self.chance
        acts: list[Callable[[], None]] = []
        if life.jobs:
            acts += [lambda: self._job(life)] * 3
        if life.mail:
            acts += [lambda: self._mail(life)] * 3
        if self.server.flights:
            acts += [lambda: self.server.advance(chance.of(self.server.flights))] * 2
        if not acts or chance(0.1):
            acts = [lambda: self._time(life)]
        chance.of(acts)()

    def _job(self, life: Life) -> None:
        job = self.chance.of(life.jobs)
        job.switch()
        if job.dead:
            life.jobs.remove(job)

    def _mail(self, life: Life) -> None:
        call, arguments = life.mail.popleft()
        call(*arguments)

    def _time(self, life: Life) -> None:
        calls = life.clock.getDelayedCalls()
        if not calls:
            return
        seconds = max(0.0, min(call.getTime() for call in calls) - life.clock.seconds())
        self._pass(int(seconds * 1e9) + 1)
        for machine in self.machines:
            if machine.life is not None:
                machine.life.clock.advance(seconds)

    def _pass(self, ns: int) -> None:
        self.wall += ns
        for sent in self.outstanding:
            self._note_hour(sent)

    def _note_hour(self, sent: Sent) -> None:
        """A request that is under way now may be received in this hour."""
        life = sent.machine.life
        if life is not None and life.ready:
            sent.hours.add(max(self.wall, life.gateway.receiver._last_ns + 1) // HOUR_NS)

    def _over(self, machine: Machine, life: Life) -> None:
        if machine.died_of is not None:
            self._say(f"{machine.name} did not start: {machine.died_of.getErrorMessage()}")
            if not machine.died_of.check(OSError):
                raise Wrong(f"the start failed: {machine.died_of.getTraceback()}")
            machine.died_of = None
        life.line.hang_up()
        machine.disk.kill()
        machine.life = None

    def _strip(self) -> None:
        """Somebody copies an object onto itself, and its metadata are gone."""
        keys = sorted(key for key in self.server.objects if key.endswith(".gz"))
        if keys:
            key = self.chance.of(keys)
            thing = self.server.objects[key]
            self.server.objects[key] = replace(thing, metadata={}, etag=thing.etag + "x")
            self._say(f"the metadata of {key} are removed")

    # Senders.

    def _send(self, machine: Machine, life: Life) -> None:
        chance = self.chance
        again = [
            one
            for one in self.requests
            if one.machine is machine
            and one.key is not None
            and one.jumps == self.jumps
            and self.wall - one.first_ns < KEY_SURE_NS
            and not (one.stream is Stream.SPECIMEN and one.asked > 3)
        ]
        if again and chance(0.4):
            sent = chance.of(again)
        else:
            number = len(self.requests)
            stream = chance.of((Stream.USAGE, Stream.USAGE, Stream.ERROR, Stream.SPECIMEN))
            count = chance.of((1, 1, 3)) if stream is not Stream.SPECIMEN else 1
            if stream is Stream.SPECIMEN:
                data = b"specimen %d " % number * chance.of((1, 20))
            else:
                lines = [
                    b'{"id":"%d.%d","p":"%s"}\n' % (number, part, b"x" * chance.below(60)) for part in range(count)
                ]
                data = b"".join(lines)
            key = f"key-{number}" if chance(0.4) else None
            sent = Sent(
                number, stream, chance.of(USERS), machine, count, key, data, jumps=self.jumps, first_ns=self.wall
            )
            self.requests.append(sent)
        receiver = life.gateway.receiver
        if receiver.admission(len(sent.data)) is not None:
            self.counts["refused"] += 1
            return
        sent.asked += 1
        self._note_hour(sent)
        self.counts["sent"] += 1
        if receiver.repeated(sent.stream, sent.user, sent.key):
            self._acknowledge(None, sent)
            return
        self.outstanding.append(sent)
        work = self._specimen(life, sent) if sent.stream is Stream.SPECIMEN else self._records(life, sent)
        Deferred.fromCoroutine(work).addCallbacks(
            self._acknowledge, self._refused, callbackArgs=(sent,), errbackArgs=(sent,)
        )

    async def _records(self, life: Life, sent: Sent) -> None:
        await life.gateway.receiver.records(
            sent.stream, user=sent.user, lines=sent.data, count=sent.count, key=sent.key, request_id="r"
        )

    async def _specimen(self, life: Life, sent: Sent) -> None:
        reception = life.gateway.receiver.specimen(
            user=sent.user, uri=f"file-{sent.number}.txt", content_type=None, key=sent.key, request_id="r"
        )
        half = len(sent.data) // 2
        reception.write(sent.data[:half])
        await reception.when_drained()
        reception.write(sent.data[half:])
        await reception.commit()

    def _acknowledge(self, _: object, sent: Sent) -> None:
        if sent in self.outstanding:
            self.outstanding.remove(sent)
        if sent.acknowledged is None:
            self.acknowledgements += 1
            sent.acknowledged = self.acknowledgements
            self.counts["acknowledged"] += 1

    def _refused(self, failure: Failure, sent: Sent) -> None:
        self.outstanding.remove(sent)
        self.counts["failed"] += 1
        if not failure.check(SpoolUnavailable, CancelledError):
            raise Wrong(f"a request failed in an unforeseen way: {failure.getTraceback()}")

    # The end.

    def _calm(self) -> None:
        self._say("calm")
        self.server.calm = True
        self.counts["disk faults"] = sum(machine.disk.hurt for machine in self.machines)
        self.counts["network faults"] = self.server.hurt
        for machine in self.machines:
            machine.disk.calm = True
            machine.disk.faults.capacity = None

    def _until(self, done: Callable[[], bool], what: str) -> None:
        """Go on without faults, in a plain order."""
        for _ in range(200_000):
            if done():
                return
            self.server.now = self.wall
            for machine in self.machines:
                life = machine.life
                if life is not None:
                    while life.mail:
                        self._mail(life)
                    for job in list(life.jobs):
                        while not job.dead:
                            job.switch()
                        life.jobs.remove(job)
            if self.server.flights:
                self.server.advance(self.server.flights[0])
            elif not any(machine.life and (machine.life.mail or machine.life.jobs) for machine in self.machines):
                lives = [machine.life for machine in self.machines if machine.life]
                calls = [call for life in lives for call in life.clock.getDelayedCalls()]
                if not calls and not done():
                    raise Wrong(f"{what}: nothing goes on any more")
                soonest = [
                    call.getTime() - life.clock.seconds() for life in lives for call in life.clock.getDelayedCalls()
                ]
                seconds = max(0.0, min(soonest, default=0.0))
                self._pass(int(seconds * 1e9) + 1)
                for life in lives:
                    life.clock.advance(seconds)
        raise Wrong(f"{what}: it does not come to an end")

    def _finish(self) -> None:
        # A stop that began in the time of trouble may end early, for good reasons.
        self._until(
            lambda: all(one.life is None or one.life.stopping is None or one.life.stopped for one in self.machines),
            "a stop",
        )
        for machine in self.machines:
            if machine.life is not None and machine.life.stopped:
                self._over(machine, machine.life)
            if machine.life is None:
                machine.start()
        lives = [machine.life for machine in self.machines if machine.life is not None]
        self._until(lambda: all(life.ready or life.stopped for life in lives), "the last start")
        for machine in self.machines:
            life = machine.life
            assert life is not None
            if machine.died_of is not None:
                raise Wrong(f"the last start failed: {machine.died_of.getTraceback()}")
            if life.stopping is None:
                life.stop()
        self._until(lambda: all(life.stopped for life in lives), "the last stop")
        # Once more: what a start finds then must change nothing.
        for machine in self.machines:
            assert machine.life is not None
            self._over(machine, machine.life)
            machine.start()
        lives = [machine.life for machine in self.machines if machine.life is not None]
        self._until(lambda: all(life.ready or life.stopped for life in lives), "another start")
        for life in lives:
            life.stop()
        self._until(lambda: all(life.stopped for life in lives), "another stop")
        for machine in self.machines:
            self._look_at_the_disk(machine)
        for flight in list(self.server.flights):
            self.server.flights.remove(flight)

    def _look_at_the_disk(self, machine: Machine) -> None:
        left = [
            name
            for name in machine.disk.files("/cache/")
            if not name.startswith("/cache/quarantine/")
            and not (name.endswith(".seg") and not machine.disk._file(name).data[8:].strip(b"\0"))
            and not name.endswith((".keys", ".key", "ledger.json", "spool.json", ".why.json"))
        ]
        if left:
            raise Wrong(f"{machine.name}: left on disk: {left}")
        assert machine.life is not None
        space = machine.life.gateway.assembly.space
        keys = sum(
            len(machine.disk._file(name).data)
            for name in machine.disk.files("/cache/spool")
            if name.endswith((".keys", ".key"))
        )
        if space.used > keys:
            raise Wrong(f"{machine.name}: the spool is said to hold {space.used} bytes, and is empty")

    def _judge(self) -> None:
        there: dict[tuple[Stream, int], list[tuple[int, int]]] = {}
        for key, thing in self.server.objects.items():
            if not key.endswith(".jsonl.gz"):
                continue
            stream = Stream(key.partition("/")[0])
            slot = Slot.parse(key.rpartition("/")[2].partition(".")[0])
            lines = gzip.decompress(thing.data).splitlines()
            ids = [json.loads(line)["id"].split(".") for line in lines]
            there[stream, slot.number] = [(int(number), int(part)) for number, part in ids]
        places: dict[tuple[int, int], list[tuple[int, int]]] = defaultdict(list)
        for (stream, hour), found in there.items():
            for place, one in enumerate(found):
                places[one].append((hour, place))
                if self.requests[one[0]].stream is not stream:
                    raise Wrong(f"record {one} is in the object of {stream}")
        for sent in self.requests:
            if sent.stream is Stream.SPECIMEN:
                self._judge_specimen(sent)
            else:
                self._judge_records(sent, places)
        for stream in RECORD_STREAMS:
            for machine in self.machines:
                self._judge_order(stream, machine, places)
        if not all(key.startswith(("usage/", "error/", "specimen/", "probe.")) for key in self.server.objects):
            raise Wrong(f"foreign objects: {sorted(self.server.objects)}")
        if self.server.uploads and "ghost" in self.without:
            raise Wrong(f"uploads left unfinished: {self.server.uploads}")

    def _judge_records(self, sent: Sent, places: dict[tuple[int, int], list[tuple[int, int]]]) -> None:
        hours = set()
        for part in range(sent.count):
            found = places.get((sent.number, part), [])
            if sent.acknowledged is not None and not found:
                raise Wrong(f"lost: {sent}")
            most = sent.most
            if len(found) > most:
                raise Wrong(f"{len(found)} times at {found}: {sent}")
            if any(hour not in sent.hours for hour, _ in found):
                raise Wrong(f"in the wrong hour {found}: {sent}")
            hours |= {hour for hour, _ in found}
        if len({len(places.get((sent.number, part), [])) for part in range(sent.count)}) > 1:
            raise Wrong(f"a batch in part: {sent}")

    def _judge_order(
        self, stream: Stream, machine: Machine, places: dict[tuple[int, int], list[tuple[int, int]]]
    ) -> None:
        done = [
            sent
            for sent in self.requests
            if sent.stream is stream and sent.machine is machine and sent.acknowledged is not None and sent.asked == 1
        ]
        last: dict[int, tuple[int, int]] = {}
        for sent in sorted(done, key=lambda sent: sent.acknowledged or 0):
            for part in range(sent.count):
                hour, place = places[sent.number, part][0]
                if place < last.get(hour, (-1, -1))[0]:
                    raise Wrong(f"{stream.value} {hour}: {sent} stands before request {last[hour][1]}")
                last[hour] = (place, sent.number)

    def _judge_specimen(self, sent: Sent) -> None:
        found = [
            key
            for key, thing in self.server.objects.items()
            if key.startswith(f"specimen/{sent.user}/") and f"/file-{sent.number}." in key and thing.data == sent.data
        ]
        foreign = [key for key in self.server.objects if f"/file-{sent.number}." in key and key not in found]
        if foreign:
            raise Wrong(f"damaged or another user's: {foreign}: {sent}")
        if sent.acknowledged is not None and not found:
            raise Wrong(f"lost: {sent}")
        if len(found) > sent.most:
            raise Wrong(f"doubled at {found}: {sent}")
        if any(int(key.split(".")[-2]) // HOUR_NS not in sent.hours for key in found):
            raise Wrong(f"in the wrong hour: {found}: {sent}")

    def _say(self, what: str) -> None:
        self.log.append(what)


def history(chance: Chance, steps: int, without: frozenset[str] = frozenset()) -> Counter[str]:
    """One history to its end; its counts.

    :raises Wrong: a promise was broken.
    """
    world = World(chance, without=without)
    try:
        world.run(steps)
    except Wrong as wrong:
        wrong.add_note("\n".join(world.log[-60:]))
        raise
    return world.counts


__all__ = ["Any", "World", "Wrong", "history"]
