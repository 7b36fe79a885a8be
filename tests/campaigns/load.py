"""Clients that send, and remember what they were told; and the comparison of that with what has arrived.

A record counts as acknowledged once its request was answered 204. One that got no answer is *unknown*: it may be there
once or not at all. Some requests carry an ``Idempotency-Key`` and are repeated until they are answered: those must be
there exactly once."""

from __future__ import annotations

import collections
import gzip
import http.client
import itertools
import json
import random
import threading
from dataclasses import dataclass, field
from typing import Protocol

USERS = ("alice", "bob", "carol")
WRONG = (
    "missing",
    "doubled",
    "disordered",
    "foreign",
    "specimens missing or other",
    "specimens doubled",
    "exit status",
    "left on disk",
)
"""The counts that must be nought."""


class Target(Protocol):
    """Where a client sends to; its port may change with a restart."""

    @property
    def port(self) -> int:
        """Of 127.0.0.1."""


@dataclass
class Sent:
    """What the clients know."""

    acknowledged: dict[str, list[str]] = field(default_factory=lambda: collections.defaultdict(list))
    unknown: set[str] = field(default_factory=set)
    excused: set[str] = field(default_factory=set)
    """Repeated while the clock jumped: keys count for an hour, so these may be there more than once."""
    specimens: dict[str, bytes] = field(default_factory=dict)
    unknown_specimens: dict[str, bytes] = field(default_factory=dict)
    answers: collections.Counter[str] = field(default_factory=collections.Counter)
    clock_moves: int = 0
    guard: threading.Lock = field(default_factory=threading.Lock)


class Client(threading.Thread):
    """One sender over a kept connection; its records are numbered.

    :param pause: seconds between two requests.
    """

    def __init__(
        self, name: str, gateway: Target, sent: Sent, over: threading.Event, seed: int, *, pause: float = 0.0
    ) -> None:
        super().__init__(daemon=True)
        self._name = name
        self._gateway = gateway
        self._sent = sent
        self._over = over
        self._chance = random.Random(seed)
        self._user = USERS[seed % len(USERS)]
        self._pause = pause
        self._number = 0
        self._connection: http.client.HTTPConnection | None = None

    def run(self) -> None:
        while not self._over.is_set():
            act = self._chance.random()
            if act < 0.03:
                self._specimen()
            else:
                self._records("usage" if act < 0.6 else "error", self._chance.choice((1, 1, 1, 1, 1, 1, 1, 50)))
            if self._pause:
                self._over.wait(self._pause)

    def _records(self, stream: str, count: int) -> None:
        ids = [f"{stream}:{self._name}:{self._number + offset}" for offset in range(count)]
        self._number += count
        padding = "x" * self._chance.randint(10, 300)
        body = "".join(json.dumps({"id": one, "padding": padding}) + "\n" for one in ids).encode()
        headers = {"Content-Type": "application/x-ndjson"} if count > 1 else {}
        repeat = self._chance.random() < 0.1
        if repeat:
            headers["Idempotency-Key"] = ids[0]
        moves = self._sent.clock_moves
        done = self._put(f"/{stream}", body, headers, repeat)
        with self._sent.guard:
            if repeat and moves != self._sent.clock_moves:
                self._sent.excused.update(ids)
            if done:
                self._sent.acknowledged[f"{stream}:{self._name}"] += ids
            else:
                self._sent.unknown.update(ids)

    def _specimen(self) -> None:
        name = f"{self._name}-{self._number}"
        self._number += 1
        body = self._chance.randbytes(self._chance.choice((100, 10_000, 300_000)))
        done = self._put(f"/specimen?uri=file:///{name}.bin", body, {}, False)
        with self._sent.guard:
            (self._sent.specimens if done else self._sent.unknown_specimens)[name] = body

    def _put(self, path: str, body: bytes, headers: dict[str, str], repeat: bool) -> bool:
        while True:
            try:
                if self._connection is None:
                    self._connection = http.client.HTTPConnection("127.0.0.1", self._gateway.port, timeout=30)
                self._connection.request("PUT", path, body, {"User-Token": self._user, **headers})
                answer = self._connection.getresponse()
                answer.read()
                status = str(answer.status)
            except (OSError, http.client.HTTPException):
                if self._connection is not None:
                    self._connection.close()
                self._connection = None
                status = "none"
            with self._sent.guard:
                self._sent.answers[status] += 1
            if status == "204":
                return True
            self._over.wait(0.05)
            if not repeat or self._over.is_set():
                return False


def compare(sent: Sent, objects: dict[str, bytes]) -> dict[str, int]:
    """Counts of what is wrong, and of what there is. Order is that within an object: which hour a record is in is told
    by the clock, and that may step back."""
    found: dict[str, list[str]] = collections.defaultdict(list)
    counts: collections.Counter[str] = collections.Counter(missing=0, doubled=0, disordered=0, foreign=0)
    for key in sorted(objects):
        if not key.endswith(".jsonl.gz"):
            continue
        numbers: dict[str, list[int]] = collections.defaultdict(list)
        for line in gzip.decompress(objects[key]).splitlines():
            stream, client, number = json.loads(line)["id"].split(":")
            found[f"{stream}:{client}"].append(f"{stream}:{client}:{number}")
            numbers[client].append(int(number))
        for each in numbers.values():
            counts["disordered"] += sum(before > after for before, after in itertools.pairwise(each))
    for writer, ids in sent.acknowledged.items():
        there = set(found[writer])
        counts["acknowledged"] += len(ids)
        counts["missing"] += len(set(ids) - there)
    for writer, there_all in found.items():
        counts["found"] += len(there_all)
        counts["foreign"] += len(set(there_all) - set(sent.acknowledged[writer]) - sent.unknown)
        again = collections.Counter(there_all)
        counts["doubled"] += sum(times - 1 for one, times in again.items() if one not in sent.excused)
    counts["unknown"] = len(sent.unknown)
    counts["unknown found"] = len(sent.unknown & {one for ids in found.values() for one in ids})
    bodies = collections.defaultdict(list)
    for key, body in objects.items():
        if key.startswith("specimen/"):
            bodies[key.rpartition("/")[2].split(".")[0]].append(body)
    counts["specimens acknowledged"] = len(sent.specimens)
    counts["specimens unknown"] = len(sent.unknown_specimens)
    counts["specimens found"] = sum(len(all_of_it) for all_of_it in bodies.values())
    counts["specimens missing or other"] = sum(bodies.get(name) != [body] for name, body in sent.specimens.items())
    counts["specimens doubled"] = sum(len(all_of_it) > 1 for all_of_it in bodies.values())
    counts["objects"] = len(objects)
    return dict(counts)
